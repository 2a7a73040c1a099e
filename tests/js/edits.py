"""What people and platforms do to a picture before it turns up again, at any strength.

Every edit takes a photograph and gives what a stranger would upload; `as_uploaded` puts a JPEG of
quality 70 on top, because everything on the web went through one.
"""

import io
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Picture = Image.Image
Pixels = NDArray[np.uint8]


def as_uploaded(picture: Picture, quality: int = 70) -> Pixels:
    """The pixels after one more JPEG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def crop(picture: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    """Cuts that many percent off each side."""
    width, height = picture.size
    box = (
        round(width * left / 100),
        round(height * top / 100),
        round(width * (1 - right / 100)),
        round(height * (1 - bottom / 100)),
    )
    return picture.crop(box)


def random_crop(picture: Picture, most: float, random: Random) -> Picture:
    """Cuts 0 to `most` percent off each side, each by itself."""
    return crop(picture, *(random.uniform(0, most) for _ in range(4)))


def border(picture: Picture, percent: float, colour: str) -> Picture:
    """A frame of so many percent of the shorter side."""
    return ImageOps.expand(picture, round(min(picture.size) * percent / 100), colour)


def tilt(picture: Picture, degrees: float) -> Picture:
    """Turned clockwise on the spot, corners black."""
    return picture.rotate(-degrees, Image.Resampling.BICUBIC)


def straighten(picture: Picture, degrees: float) -> Picture:
    """Turned clockwise, then cut in its own shape to where no corner is empty."""
    width, height = picture.size
    angle = np.radians(abs(degrees))
    share = 1 / (np.cos(angle) + np.sin(angle) * max(width / height, height / width))
    cut = (1 - share) * 50
    return crop(tilt(picture, degrees), cut, cut, cut, cut)


def shape(picture: Picture, across: float, down: float) -> Picture:
    """Cut around the middle to a shape."""
    width, height = picture.size
    ratio = across / down
    size = (
        (width, round(width / ratio)) if width / height < ratio else (round(height * ratio), height)
    )
    return ImageOps.fit(picture, size)


def bars(picture: Picture, across: float, down: float, colour: str = "black") -> Picture:
    """Fitted whole into a screen of that shape, as a screenshot of a gallery shows it."""
    size = (round(1080 * across / max(across, down)), round(1080 * down / max(across, down)))
    return ImageOps.pad(picture, size, color=colour)


def scale(picture: Picture, factor: float) -> Picture:
    """Resized."""
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


def stretch(picture: Picture, factor: float) -> Picture:
    """Made wider without keeping the shape."""
    return picture.resize((round(picture.width * factor), picture.height))


def brightness(picture: Picture, factor: float) -> Picture:
    """Lighter or darker."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def contrast(picture: Picture, factor: float) -> Picture:
    """Harder or softer."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def gamma(picture: Picture, exponent: float) -> Picture:
    """Another gamma."""
    return picture.point([round(255 * (i / 255) ** exponent) for i in range(256)] * 3)


def blur(picture: Picture, radius: float) -> Picture:
    """Out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(radius))


def grain(picture: Picture, spread: float, seed: int) -> Picture:
    """Noise in every channel."""
    pixels = np.asarray(picture, np.float64)
    noise = np.random.default_rng(seed).normal(0, spread, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def grey(picture: Picture) -> Picture:
    """Without colour."""
    return ImageOps.grayscale(picture).convert("RGB")


def caption(picture: Picture, share: float) -> Picture:
    """White words in a black strip over the lower edge of the picture."""
    copy = picture.copy()
    width, height = copy.size
    draw = ImageDraw.Draw(copy)
    draw.rectangle((0, height * (1 - share), width, height), fill="black")
    draw.text(
        (width * 0.1, height * (1 - share * 0.8)),
        "look at this",
        "white",
        font_size=height * share * 0.5,
    )
    return copy


def sticker(picture: Picture, share: float) -> Picture:
    """A yellow disc in a corner."""
    copy = picture.copy()
    side = min(copy.size) * share
    ImageDraw.Draw(copy).ellipse((side * 0.3, side * 0.3, side * 1.3, side * 1.3), fill="gold")
    return copy
