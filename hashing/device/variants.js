/**
 * Hashes of the copies people make of a picture: cropped, framed, tilted, cut to a shape, shown
 * between bars, mirrored, turned.
 *
 * PDQ forgives recompression and scaling but not these, so the device imagines them and hashes
 * each. Every copy is sampled from the one small plane that pdq.js kept, never from the picture
 * again. A variant's name says how it is made:
 *   crop-L-T-R-B        cut that many percent off left, top, right, bottom
 *   border-P-black      a frame of P percent of the shorter side (or -white)
 *   tilt+D, tilt-D      turned by D degrees on the spot, the corners black (clockwise is +)
 *   straighten+D        the same, then cut to what has no empty corner
 *   shape-W-H           cut to W:H around the middle
 *   bars-W-H-black      fitted whole into a W:H screen (or -white)
 * and after a dot, or alone, the orientation: rotate90, rotate180, rotate270, flipx, flipy,
 * flipplus1, flipminus1.
 */
import { SIDE, decimated, windowOf } from "./jarosz.js";
import { LADDER } from "./ladder.js";
import {
  ORIENTATIONS,
  WORTH_MATCHING,
  coefficientsOf,
  distance,
  hexOf,
  qualityOf,
  turned,
} from "./pdq.js";

const FILLS = { black: 0, white: 255 };

/** Budgets the ladder was searched for; any whole number up to the last works. */
export const BUDGETS = Object.freeze([16, 32, 64, 128]);

/** A variant this near to one already made finds nothing new; its place goes to the next. */
export const NEAR = 8;

/**
 * Where the copy's unit square lies on the picture's: x = left + a*u + b*v, y = top + c*u + d*v.
 * `fill` is the luma shown outside the picture; without one there is no outside.
 */
const place = (left, top, a, b, c, d, fill = 0) => ({ left, top, a, b, c, d, fill });
const upright = (left, top, width, height, fill) => place(left, top, width, 0, 0, height, fill);
const centred = (width, height, fill) =>
  upright((1 - width) / 2, (1 - height) / 2, width, height, fill);

/**
 * How each kind of copy is laid over a picture of `aspect` = width / height; numbers come from the
 * name.
 */
const KINDS = {
  crop: ([left, top, right, bottom]) =>
    upright(left / 100, top / 100, 1 - (left + right) / 100, 1 - (top + bottom) / 100),
  border: ([percent], aspect, fill) => {
    const share = percent / 50;
    return centred(1 + share * Math.min(1, 1 / aspect), 1 + share * Math.min(1, aspect), fill);
  },
  tilt: ([degrees], aspect) => tilted(degrees, aspect, 1),
  straighten: ([degrees], aspect) => tilted(degrees, aspect, insideShare(degrees, aspect)),
  shape: ([width, height], aspect) => {
    const ratio = width / height / aspect;
    return centred(Math.min(1, ratio), Math.min(1, 1 / ratio));
  },
  bars: ([width, height], aspect, fill) => {
    const ratio = width / height / aspect;
    return centred(Math.max(1, ratio), Math.max(1, 1 / ratio), fill);
  },
};

/** Sine and cosine of a few degrees by their series, since Math.sin may differ between engines. */
function turnOf(degrees) {
  const x = (degrees * 3.141592653589793) / 180,
    square = x * x;
  return {
    sine: x * (1 - (square / 6) * (1 - square / 20)),
    cosine: 1 - (square / 2) * (1 - (square / 12) * (1 - square / 30)),
  };
}

function tilted(degrees, aspect, share) {
  const { sine, cosine } = turnOf(degrees);
  const a = cosine * share,
    b = (sine / aspect) * share,
    c = -sine * aspect * share,
    d = cosine * share;
  return place(0.5 - (a + b) / 2, 0.5 - (c + d) / 2, a, b, c, d);
}

/**
 * How much of both sides remains when a tilted picture is cut to its own shape without empty
 * corners.
 */
function insideShare(degrees, aspect) {
  const { sine, cosine } = turnOf(degrees);
  const longer = Math.max(aspect, 1 / aspect);
  return 1 / (cosine + Math.abs(sine) * longer);
}

/** { edit, orientation } of a name, or a RangeError when it says nothing this library can make. */
export function parseName(name) {
  if (ORIENTATIONS.includes(name)) return { edit: "original", orientation: name };
  const dot = name.lastIndexOf(".");
  const suffix = name.slice(dot + 1);
  return ORIENTATIONS.includes(suffix)
    ? { edit: name.slice(0, dot), orientation: suffix }
    : { edit: name, orientation: "original" };
}

const NAME = /^([a-z]+)((?:[-+]\d+(?:\.\d+)?)+)(?:-(black|white))?$/;
const ARITY = { crop: 4, border: 1, tilt: 1, straighten: 1, shape: 2, bars: 2 };

function layOver(edit, aspect) {
  if (edit === "original") return centred(1, 1);
  const [, kind, written, fill] = NAME.exec(edit) ?? [];
  const numbers = numbersOf(kind, written);
  if (numbers.length !== ARITY[kind]) throw new RangeError("No such variant.");
  const laid = KINDS[kind](numbers, aspect, FILLS[fill ?? "black"]);
  const area = laid.a * laid.d - laid.b * laid.c;
  if (!(area > 0 && area < Infinity)) throw new RangeError("Nothing would be left of the picture.");
  return laid;
}

/** Angles carry their sign; elsewhere the sign is only the hyphen between numbers. */
function numbersOf(kind, written = "") {
  const signed = kind === "tilt" || kind === "straighten";
  return (written.match(/[-+]\d+(?:\.\d+)?/g) ?? []).map((text) =>
    Number(signed ? text : text.slice(1)),
  );
}

/**
 * Each orientation as: mirrored left to right, upside down, and then along the diagonal, which the
 * coefficients do exactly.
 */
const LOOKS = {
  original: [false, false, false],
  flipy: [true, false, false],
  flipx: [false, true, false],
  rotate180: [true, true, false],
  flipplus1: [false, false, true],
  rotate90: [true, false, true],
  rotate270: [false, true, true],
  flipminus1: [true, true, true],
};

function turnedOver({ left, top, a, b, c, d, fill }, mirrored, upended) {
  if (mirrored) {
    left += a;
    top += c;
    a = -a;
    c = -c;
  }
  if (upended) {
    left += b;
    top += d;
    b = -b;
    d = -d;
  }
  return place(left, top, a, b, c, d, fill);
}

/**
 * Where on 0..1 the square's 64 places read a side of so many pixels, two points each: their spread
 * equals that of the second mean, and an even window moves both means half a pixel, as it does in
 * PDQ itself.
 */
function readingPoints(pixels) {
  const window = windowOf(pixels),
    late = window % 2 === 0 ? 1.5 : 0.5,
    spread = window / Math.sqrt(12);
  const places = decimated(pixels);
  return Float64Array.from(
    { length: 2 * SIDE },
    (_, k) => (places[k >> 1] + late + (k & 1 ? spread : -spread)) / pixels,
  );
}

/** The 64x64 square PDQ would work on, had it been given the copy at the picture's own scale. */
function sampled(plane, { left, top, a, b, c, d, fill }, width, height) {
  const across = Math.max(1, Math.round(Math.hypot(a * width, c * height)));
  const down = Math.max(1, Math.round(Math.hypot(b * width, d * height)));
  const us = readingPoints(across),
    vs = readingPoints(down);
  const sharpX = 1 / Math.hypot((a * windowOf(across)) / across, (b * windowOf(down)) / down);
  const sharpY = 1 / Math.hypot((c * windowOf(across)) / across, (d * windowOf(down)) / down);
  const square = new Float32Array(SIDE * SIDE);
  for (let row = 0; row < 2 * SIDE; row++) {
    const x0 = left + b * vs[row],
      y0 = top + d * vs[row],
      start = (row >> 1) * SIDE;
    for (let column = 0; column < 2 * SIDE; column++) {
      const x = x0 + a * us[column],
        y = y0 + c * us[column];
      const shown = covered(x, sharpX) * covered(y, sharpY);
      const value = shown > 0 ? fill + (readAt(plane, x, y) - fill) * shown : fill;
      square[start + (column >> 1)] += value / 4;
    }
  }
  return square;
}

/** 1 well inside the picture, 0 well outside, in between where the window straddles the edge. */
function covered(at, sharpness) {
  const inside = 0.5 + Math.min(at, 1 - at) * sharpness;
  return inside >= 1 ? 1 : inside <= 0 ? 0 : inside;
}

/**
 * The plane at a point of the unit square, between its four nearest samples; past an edge it goes
 * on as at the edge.
 */
function readAt({ values, width, height }, x, y) {
  const across = Math.min(Math.max(x * width - 0.5, 0), width - 1);
  const down = Math.min(Math.max(y * height - 0.5, 0), height - 1);
  const column = Math.min(across | 0, width - 2),
    row = Math.min(down | 0, height - 2);
  const h = across - column,
    v = down - row,
    at = row * width + column;
  const above = values[at] + (values[at + 1] - values[at]) * h;
  const below = values[at + width] + (values[at + width + 1] - values[at + width]) * h;
  return above + (below - above) * v;
}

/** Hashes copies of one picture by name. */
export class VariantMaker {
  #plane;
  #width;
  #height;
  #made = new Map();

  /**
   * `hashed` is what PictureHasher.finish() gave with `wantPlane`, the sizes are the picture's, in
   * pixels.
   */
  constructor({ coefficients, plane, pdq }, width, height) {
    this.#plane = plane;
    this.#width = width;
    this.#height = height;
    this.#made.set("original false false", { coefficients, quality: pdq.quality });
  }

  /** { name, hex, quality } of one variant. RangeError when the name is unknown. */
  make(name) {
    const { edit, orientation } = parseName(name);
    const [mirrored, upended, transposed] = LOOKS[orientation];
    const { coefficients, quality } = this.#copy(edit, mirrored, upended);
    return {
      name,
      hex: hexOf(transposed ? turned(coefficients, "flipplus1") : coefficients),
      quality,
    };
  }

  #copy(edit, mirrored, upended) {
    const key = `${edit} ${mirrored} ${upended}`;
    if (!this.#made.has(key)) {
      const laid = turnedOver(layOver(edit, this.#width / this.#height), mirrored, upended);
      const square = sampled(this.#plane, laid, this.#width, this.#height);
      this.#made.set(key, { coefficients: coefficientsOf(square), quality: qualityOf(square) });
    }
    return this.#made.get(key);
  }
}

/**
 * The hashes to send for one picture, at most `budget`, the photo's own first: [{ name, hex,
 * quality }].
 *
 * Walks down the ladder and leaves out what would not be matched (quality below 50) and what stands
 * nearer than NEAR bits to a hash already taken. RangeError for a budget below one.
 */
export function variantsOf(hashed, width, height, { budget = 64, ladder = LADDER } = {}) {
  if (!(Number.isInteger(budget) && budget > 0))
    throw new RangeError("A budget is at least one hash.");
  const taken = [{ name: "original", ...hashed.pdq }];
  if (hashed.plane === null || hashed.pdq.quality < WORTH_MATCHING) return taken;
  const maker = new VariantMaker(hashed, width, height);
  for (const name of ladder) {
    if (taken.length >= budget) break;
    const variant = maker.make(name);
    const useful =
      variant.quality >= WORTH_MATCHING &&
      taken.every(({ hex }) => distance(hex, variant.hex) >= NEAR);
    if (useful) taken.push(variant);
  }
  return taken;
}
