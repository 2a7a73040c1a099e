/**
 * PDQ, the 256-bit perceptual hash of a picture, equal to Meta's reference in every bit (github
 * facebook/ThreatExchange, pdq/).
 *
 * Pixels arrive as strips of RGBA rows, top to bottom, and are forgotten as they pass: what stays
 * is a band as tall as the filter (a hundredth of the picture) and a few 64x64 squares. Two
 * profiles come out of one reading:
 *   `pdq`      the picture as it is;
 *   `pdq-512`  as Meta's command line has it: first squeezed to 512x512 if a side is longer.
 * Quality is 0 to 100; below 50 the hash says too little to be matched.
 */
import { DCT } from "./dct64.js";
import { BLOCK_ROWS, JaroszFilter, SIDE } from "./jarosz.js";

/** Below this quality nobody matches a hash. */
export const WORTH_MATCHING = 50;
const COEFFICIENTS = 16;
const SMALLEST_SIDE = 5;
const SQUARE = 512;
const fround = Math.fround;

/**
 * The eight ways to turn or mirror a picture, in the order of the reference, as what each does to
 * the coefficients.
 */
const TURNS = {
  original: { transposed: false, negated: () => false },
  rotate90: { transposed: true, negated: (row) => row % 2 === 0 },
  rotate180: { transposed: false, negated: (row, column) => (row + column) % 2 === 1 },
  rotate270: { transposed: true, negated: (row, column) => column % 2 === 0 },
  flipx: { transposed: false, negated: (row) => row % 2 === 0 },
  flipy: { transposed: false, negated: (row, column) => column % 2 === 0 },
  flipplus1: { transposed: true, negated: () => false },
  flipminus1: { transposed: true, negated: (row, column) => (row + column) % 2 === 1 },
};
export const ORIENTATIONS = Object.freeze(Object.keys(TURNS));

/**
 * For each orientation and each of 256 places: which coefficient stands there (>= 0), or ~which
 * when its sign turns.
 */
const TURN_TABLES = Object.fromEntries(
  Object.entries(TURNS).map(([name, turn]) => [name, turnTable(turn)]),
);

function turnTable({ transposed, negated }) {
  return Int16Array.from({ length: COEFFICIENTS * COEFFICIENTS }, (_, place) => {
    const row = place >> 4,
      column = place & 15;
    const source = transposed ? column * COEFFICIENTS + row : place;
    return negated(row, column) ? ~source : source;
  });
}

/**
 * How much the 64x64 square changes from neighbour to neighbour, in whole hundredths of white: 0
 * (flat) to 100.
 */
export function qualityOf(square) {
  let sum = 0;
  for (let place = 0; place < SIDE * SIDE; place++) {
    if (place + SIDE < SIDE * SIDE) sum += step(square[place], square[place + SIDE]);
    if (place % SIDE !== SIDE - 1) sum += step(square[place], square[place + 1]);
  }
  return Math.min(100, Math.trunc(sum / 90));
}

const step = (u, v) => Math.abs(Math.trunc(fround(fround(fround(u - v) * 100) / 255)));

/**
 * The 16x16 cosine coefficients of a 64x64 square: D A, then times D transposed, each sum strictly
 * in order in 32 bits.
 */
export function coefficientsOf(square) {
  const half = new Float32Array(COEFFICIENTS * SIDE);
  for (let i = 0; i < COEFFICIENTS; i++) {
    for (let k = 0; k < SIDE; k++) {
      const factor = DCT[i * SIDE + k];
      for (let j = 0; j < SIDE; j++) {
        half[i * SIDE + j] = half[i * SIDE + j] + fround(factor * square[k * SIDE + j]);
      }
    }
  }
  return timesTransposed(half);
}

function timesTransposed(half) {
  const out = new Float32Array(COEFFICIENTS * COEFFICIENTS);
  for (let i = 0; i < COEFFICIENTS; i++) {
    for (let j = 0; j < COEFFICIENTS; j++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++)
        sum = fround(sum + fround(half[i * SIDE + k] * DCT[j * SIDE + k]));
      out[i * COEFFICIENTS + j] = sum;
    }
  }
  return out;
}

/**
 * 64 hex characters: bit k is set where coefficient k lies above the lower of the two middle ones;
 * bit 255 comes first.
 */
export function hexOf(coefficients) {
  const median = coefficients.slice().sort()[127];
  let hex = "";
  for (let nibble = 63; nibble >= 0; nibble--) {
    let value = 0;
    for (let bit = 3; bit >= 0; bit--)
      value = value * 2 + (coefficients[nibble * 4 + bit] > median ? 1 : 0);
    hex += value.toString(16);
  }
  return hex;
}

/** How many of the 256 bits differ between two hashes. */
export function distance(left, right) {
  let count = 0;
  for (let at = 0; at < 64; at += 8) {
    let bits = parseInt(left.slice(at, at + 8), 16) ^ parseInt(right.slice(at, at + 8), 16);
    for (; bits !== 0; bits &= bits - 1) count++;
  }
  return count;
}

/** The coefficients of the picture turned or mirrored, without touching the picture. */
export function turned(coefficients, orientation) {
  return Float32Array.from(TURN_TABLES[orientation], (source) =>
    source < 0 ? -coefficients[~source] : coefficients[source],
  );
}

/** All eight hashes of a picture, by orientation name. */
export function dihedralHexes(coefficients) {
  return Object.fromEntries(ORIENTATIONS.map((name) => [name, hexOf(turned(coefficients, name))]));
}

const tooSmall = (width, height) => width < SMALLEST_SIDE || height < SMALLEST_SIDE;
const NOTHING = Object.freeze({ hex: "0".repeat(64), quality: 0 });

/** The profile `pdq`: luma in 64 bits, rounded once. */
class FullProfile {
  constructor(width, height, wantPlane) {
    this.width = width;
    this.exact = width === SIDE && height === SIDE ? new Float32Array(SIDE * SIDE) : null;
    this.filter = new JaroszFilter(width, height, wantPlane);
    this.luma = new Float32Array(BLOCK_ROWS * width);
  }

  push(pixels, firstRow, rows) {
    for (let done = 0; done < rows; done += BLOCK_ROWS) {
      const count = Math.min(BLOCK_ROWS, rows - done);
      this.#weigh(pixels, done * this.width, count * this.width);
      this.exact?.set(this.luma.subarray(0, count * this.width), (firstRow + done) * this.width);
      this.filter.push(this.luma, count);
    }
  }

  #weigh(pixels, start, count) {
    const { luma } = this;
    for (let i = 0, p = start * 4; i < count; i++, p += 4) {
      luma[i] = 0.299 * pixels[p] + 0.587 * pixels[p + 1] + 0.114 * pixels[p + 2];
    }
  }

  /**
   * A picture of exactly 64x64 is hashed unsmoothed; its eight orientations are smoothed all the
   * same, as in the reference.
   */
  finish() {
    const square = this.exact ?? this.filter.square;
    const coefficients = coefficientsOf(this.filter.square);
    const hex = hexOf(this.exact ? coefficientsOf(this.exact) : coefficients);
    return { hex, quality: qualityOf(square), coefficients, plane: this.filter.plane };
  }
}

/**
 * The profile `pdq-512`: nearest sample to a 512x512 square if a side is longer, luma in 32 bits
 * throughout.
 */
class SquaredProfile {
  constructor(width, height) {
    const squeezed = width > SQUARE || height > SQUARE;
    this.sourceWidth = width;
    this.width = squeezed ? SQUARE : width;
    this.height = squeezed ? SQUARE : height;
    this.columns = Int32Array.from({ length: this.width }, (_, i) =>
      Math.floor((i * width) / this.width),
    );
    this.rows = Int32Array.from({ length: this.height }, (_, i) =>
      Math.floor((i * height) / this.height),
    );
    this.luma = new Float32Array(this.width * this.height);
    this.filled = 0;
  }

  push(pixels, firstRow, rows) {
    while (this.filled < this.height && this.rows[this.filled] < firstRow + rows) {
      this.#weigh(
        pixels,
        (this.rows[this.filled] - firstRow) * this.sourceWidth,
        this.filled * this.width,
      );
      this.filled++;
    }
  }

  #weigh(pixels, source, target) {
    const red = fround(0.299),
      green = fround(0.587),
      blue = fround(0.114);
    for (let x = 0; x < this.width; x++) {
      const p = (source + this.columns[x]) * 4;
      const warm = fround(fround(red * pixels[p]) + fround(green * pixels[p + 1]));
      this.luma[target + x] = warm + fround(blue * pixels[p + 2]);
    }
  }

  finish() {
    if (tooSmall(this.width, this.height)) return NOTHING;
    const square = this.width === SIDE && this.height === SIDE ? this.luma : this.#smoothed();
    return { hex: hexOf(coefficientsOf(square)), quality: qualityOf(square) };
  }

  #smoothed() {
    const filter = new JaroszFilter(this.width, this.height, false);
    for (let row = 0; row < this.height; row += BLOCK_ROWS) {
      filter.push(this.luma.subarray(row * this.width), Math.min(BLOCK_ROWS, this.height - row));
    }
    return filter.square;
  }
}

/**
 * Hashes one picture of known size from strips of its rows.
 *
 * push(pixels, rows): RGBA bytes (alpha is ignored: paint on white first), `rows` full rows, in
 * order. RangeError when they do not fit. finish(): { pdq: {hex, quality}, pdq512: {hex, quality},
 * coefficients, plane }. The last two are null below 5 pixels a side (or without `wantPlane`) and
 * are what `dihedralHexes` and variants.js start from.
 */
export class PictureHasher {
  #width;
  #height;
  #full;
  #squared;
  #row = 0;

  constructor(width, height, { wantPlane = false } = {}) {
    if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)) {
      throw new RangeError("A picture is at least one pixel wide and tall.");
    }
    this.#width = width;
    this.#height = height;
    this.#full = tooSmall(width, height) ? null : new FullProfile(width, height, wantPlane);
    this.#squared = new SquaredProfile(width, height);
  }

  push(pixels, rows) {
    if (rows > this.#height - this.#row || pixels.length !== rows * this.#width * 4) {
      throw new RangeError("A strip holds whole rows of the picture and no more than are left.");
    }
    this.#full?.push(pixels, this.#row, rows);
    this.#squared.push(pixels, this.#row, rows);
    this.#row += rows;
  }

  finish() {
    if (this.#row !== this.#height) throw new RangeError("Rows are missing.");
    const { coefficients = null, plane = null, ...pdq } = this.#full?.finish() ?? NOTHING;
    return { pdq, pdq512: this.#squared.finish(), coefficients, plane };
  }
}

/** Hashes pixels that are already in memory: RGBA bytes, row by row. */
export function hashPixels(pixels, width, height, options) {
  const hasher = new PictureHasher(width, height, options);
  hasher.push(pixels, height);
  return hasher.finish();
}
