/**
 * From a file to rows of pixels, the way every platform would see them: upright, colours as stored,
 * transparency on white.
 *
 * The browser decodes; pixels are read back in strips of 128 rows, because phones limit how large a
 * canvas may be. A browser that guards against fingerprinting may hand back made-up pixels without
 * saying so: `checkReadBack` finds out first.
 */
import { Refusal } from "./refusals.js";
import { sniff } from "./sniff.js";

export const STRIP_ROWS = 128;
const SMALLEST_SIDE = 5;
/**
 * 8160 x 6120, the largest common phone sensor, and a little more; a decoded picture takes four
 * bytes a pixel.
 */
export const MOST_PIXELS = 50_000_000;
const PATTERN_SIDE = 64;

function canvasOf(width, height) {
  if (globalThis.OffscreenCanvas) return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** A small surface to paint strips on and read them from. */
class Surface {
  #canvas;
  #context;

  constructor(width, height) {
    this.#canvas = canvasOf(width, height);
    this.#context = this.#canvas.getContext("2d", { willReadFrequently: true });
    if (this.#context === null) throw new Refusal("no_room");
    this.#context.imageSmoothingEnabled = false;
  }

  /** RGBA bytes of `rows` rows of the source from `top`, painted on white. */
  read(source, top, width, rows) {
    this.#context.fillStyle = "#fff";
    this.#context.fillRect(0, 0, width, rows);
    this.#context.drawImage(source, 0, top, width, rows, 0, 0, width, rows);
    return this.#context.getImageData(0, 0, width, rows).data;
  }

  /** Gives the memory back now, not when the collector comes by. */
  close() {
    this.#canvas.width = this.#canvas.height = 0;
  }
}

/**
 * Paints a known pattern and reads it back; Refusal `hidden_pixels` unless every pixel is as
 * painted.
 */
export async function checkReadBack() {
  const pattern = new ImageData(PATTERN_SIDE, PATTERN_SIDE);
  for (let i = 0; i < pattern.data.length; i++) {
    pattern.data[i] = i % 4 === 3 ? 255 : Math.imul(i + 1, 2654435761) >>> 24;
  }
  const bitmap = await createImageBitmap(pattern, { colorSpaceConversion: "none" });
  const surface = new Surface(PATTERN_SIDE, PATTERN_SIDE);
  try {
    const seen = surface.read(bitmap, 0, PATTERN_SIDE, PATTERN_SIDE);
    if (!seen.every((value, i) => value === pattern.data[i])) throw new Refusal("hidden_pixels");
  } finally {
    surface.close();
    bitmap.close();
  }
}

/** One decoded picture. Close it, or its memory stays. */
export class Picture {
  #source;
  #surface;

  /** `source` is an ImageBitmap or a VideoFrame of that size. */
  constructor(source, width, height) {
    this.#source = source;
    this.width = width;
    this.height = height;
    this.#surface = new Surface(width, Math.min(STRIP_ROWS, height));
  }

  /**
   * Yields { pixels, rows } from top to bottom; RGBA bytes, gone when the next strip is asked for.
   */
  *strips() {
    for (let top = 0; top < this.height; top += STRIP_ROWS) {
      const rows = Math.min(STRIP_ROWS, this.height - top);
      yield { pixels: this.#surface.read(this.#source, top, this.width, rows), rows };
    }
  }

  close() {
    this.#surface.close();
    this.#source.close();
  }
}

/**
 * Decodes a still picture. Throws a Refusal: empty_file, unknown_kind, damaged_picture,
 * heic_picture, animated_picture, tiny_picture, huge_picture; or what the file says when it cannot
 * be read.
 */
export async function openPicture(file) {
  const { kind, animated, whole, width = 0, height = 0 } = await sniff(file);
  if (kind !== "picture" && kind !== "heic") throw new Refusal("unknown_kind");
  if (animated) throw new Refusal("animated_picture");
  if (!whole) throw new Refusal("damaged_picture");
  if (width * height > MOST_PIXELS) throw new Refusal("huge_picture");
  const bitmap = await decoded(file, kind === "heic" ? "heic_picture" : "damaged_picture");
  return pictureOf(bitmap);
}

const UNREADABLE = new Set(["NotReadableError", "NotFoundError", "AbortError"]);

async function decoded(file, code) {
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch (error) {
    throw UNREADABLE.has(error.name) ? error : new Refusal(code);
  }
}

function pictureOf(bitmap) {
  const { width, height } = bitmap;
  const code = sizeRefusal(width, height);
  if (code === null) return new Picture(bitmap, width, height);
  bitmap.close();
  throw new Refusal(code);
}

function sizeRefusal(width, height) {
  if (width < SMALLEST_SIDE || height < SMALLEST_SIDE) return "tiny_picture";
  return width * height > MOST_PIXELS ? "huge_picture" : null;
}
