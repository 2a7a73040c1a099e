/**
 * Makes the pictures of tests/vectors/pdq.json, from their formulas or from the bytes embedded; in
 * node and in a browser.
 */
const div = (a, b) => Math.floor(a / b);
const triangle = (n) => Math.abs((n % 510) - 255);

function noise(value) {
  let v = Math.imul(value, 2654435761);
  v = Math.imul(v ^ (v >>> 15), 2246822519);
  return (v ^ (v >>> 13)) >>> 24;
}

const FORMULAS = {
  flat: (x, y, c, { formula }) => formula.colour[c],
  gradient: (x, y, c, { width, height }) =>
    [
      div(255 * x, Math.max(1, width - 1)),
      div(255 * y, Math.max(1, height - 1)),
      div(255 * (x + y), Math.max(1, width + height - 2)),
    ][c],
  noise: (x, y, c, { width, formula }) => noise(formula.seed + 3 * (y * width + x) + c),
  blocks: (x, y, c, { formula }) => ((div(x, formula.across) + div(y, formula.down)) % 2) * 255,
  waves: (x, y, c, { width, height, formula: { a, b } }) =>
    [
      triangle(div(a * 510 * x, width) + div(b * 510 * y, height)),
      triangle(div(b * 510 * x, width) + div(x * y, 16)),
      triangle(div(a * 510 * y, height) + 3 * x),
    ][c],
};

/** RGBA bytes of a vector. */
export function pixelsOf(vector) {
  const { width, height } = vector;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  const rgb = vector.rgb && Uint8Array.from(atob(vector.rgb), (letter) => letter.charCodeAt(0));
  const formula = FORMULAS[vector.formula?.kind];
  for (let place = 0; place < width * height; place++) {
    for (let c = 0; c < 3; c++) {
      pixels[place * 4 + c] = rgb
        ? rgb[place * 3 + c]
        : formula(place % width, div(place, width), c, vector);
    }
  }
  return pixels;
}
