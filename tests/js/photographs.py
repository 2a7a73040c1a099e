"""The photographs the device library is measured on: harmless, free, out of PyPI packages.

scikit-image (public domain and CC0, see its data folder), scikit-learn (two CC BY photographs by
danielbuechele and vultilion), matplotlib (a U.S. Navy portrait), PyWavelets (two public-domain
test pictures). Names are `package/file`.
"""

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_FOLDERS = {
    "skimage": ("skimage", "data"),
    "sklearn": ("sklearn", "datasets/images"),
    "matplotlib": ("matplotlib", "mpl-data/sample_data"),
    "pywt": ("pywt", "data"),
}

PHOTOGRAPHS = (
    "matplotlib/grace_hopper.jpg",
    "pywt/aero.npz",
    "pywt/ascent.npz",
    "skimage/astronaut.png",
    "skimage/brick.png",
    "skimage/camera.png",
    "skimage/cell.png",
    "skimage/chelsea.png",
    "skimage/coffee.png",
    "skimage/coins.png",
    "skimage/grass.png",
    "skimage/gravel.png",
    "skimage/hubble_deep_field.jpg",
    "skimage/ihc.png",
    "skimage/moon.png",
    "skimage/motorcycle_left.png",
    "skimage/page.png",
    "skimage/retina.jpg",
    "skimage/rocket.jpg",
    "sklearn/china.jpg",
    "sklearn/flower.jpg",
)


@cache
def photograph(name: str) -> Pixels:
    """The pixels of one of PHOTOGRAPHS, height x width x 3."""
    package, _, file = name.partition("/")
    module, folder = _FOLDERS[package]
    with files(module).joinpath(folder, file).open("rb") as source:
        if file.endswith(".npz"):
            return np.repeat(np.load(source)["data"].astype(np.uint8)[:, :, None], 3, axis=2)
        return np.asarray(Image.open(source).convert("RGB"))
