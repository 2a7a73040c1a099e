/**
 * The Jarosz filter of PDQ: two passes of a sliding mean, each along the rows and then down the
 * columns, and of what comes out every 64th part of each side.
 *
 * Rows go in as they are read and nothing is kept but the band its window needs. All sums are
 * rounded to 32 bits after each step, as in the reference (facebook/ThreatExchange, pdq/).
 */

export const SIDE = 64;
/** Rows handed on together: enough to be quick, few enough to stay in the processor's cache. */
export const BLOCK_ROWS = 16;
const PLANE_SIDE = 256;
const fround = Math.fround;

/** How many pixels of a side this long the filter averages at a time. */
export const windowOf = (length) => Math.trunc((length + 127) / 128);

/** Which pixels of a side this long the 64 places of the square are read from. */
export const decimated = (length) =>
  Int32Array.from({ length: SIDE }, (_, i) => Math.trunc(((i + 0.5) * length) / SIDE));

/**
 * Mean over a sliding window along `rows` rows at once; four rows side by side hide the latency of
 * the running sum.
 */
function boxAlongRows(input, output, rows, width, window) {
  for (let row = 0; row < rows; row += 4) {
    const last = rows - 1;
    boxFourRows(
      input,
      output,
      row * width,
      Math.min(row + 1, last) * width,
      Math.min(row + 2, last) * width,
      Math.min(row + 3, last) * width,
      width,
      window,
    );
  }
}

/**
 * The sums are rounded to 32 bits after the addition and again after the subtraction, as the
 * reference does.
 */
function boxFourRows(input, output, a, b, c, d, width, window) {
  const half = Math.trunc((window + 2) / 2);
  let sumA = 0,
    sumB = 0,
    sumC = 0,
    sumD = 0,
    right = 0,
    out = 0;
  for (; right < half - 1; right++) {
    sumA = fround(sumA + input[a + right]);
    sumB = fround(sumB + input[b + right]);
    sumC = fround(sumC + input[c + right]);
    sumD = fround(sumD + input[d + right]);
  }
  for (; right < window; right++, out++) {
    sumA = fround(sumA + input[a + right]);
    sumB = fround(sumB + input[b + right]);
    sumC = fround(sumC + input[c + right]);
    sumD = fround(sumD + input[d + right]);
    output[a + out] = sumA / (right + 1);
    output[b + out] = sumB / (right + 1);
    output[c + out] = sumC / (right + 1);
    output[d + out] = sumD / (right + 1);
  }
  // Rounding sum * (1/window) once gives the rounded quotient: it is never near enough to a tie.
  const share = 1 / window;
  for (let left = 0; right < width; right++, left++, out++) {
    sumA = fround(fround(sumA + input[a + right]) - input[a + left]);
    sumB = fround(fround(sumB + input[b + right]) - input[b + left]);
    sumC = fround(fround(sumC + input[c + right]) - input[c + left]);
    sumD = fround(fround(sumD + input[d + right]) - input[d + left]);
    output[a + out] = sumA * share;
    output[b + out] = sumB * share;
    output[c + out] = sumC * share;
    output[d + out] = sumD * share;
  }
  for (let left = width - window, count = window - 1; out < width; left++, count--, out++) {
    sumA = fround(sumA - input[a + left]);
    sumB = fround(sumB - input[b + left]);
    sumC = fround(sumC - input[c + left]);
    sumD = fround(sumD - input[d + left]);
    output[a + out] = sumA / count;
    output[b + out] = sumB / count;
    output[c + out] = sumC / count;
    output[d + out] = sumD / count;
  }
}

/**
 * The same mean down the columns, row by row as they come; it remembers as many rows as its window
 * is tall.
 */
class BoxDownColumns {
  constructor(width, height, emit) {
    this.width = width;
    this.height = height;
    this.window = windowOf(height);
    this.lead = Math.trunc((this.window + 2) / 2) - 1;
    this.ring = new Float32Array(this.window * width);
    this.sums = new Float32Array(width);
    this.line = new Float32Array(width);
    this.seen = 0;
    this.emit = emit;
  }

  /** Takes one row; once the window reaches far enough, hands on the row it is centred on. */
  push(input, offset) {
    const slot = (this.seen % this.window) * this.width;
    if (this.seen < this.window) this.#grow(input, offset, slot);
    else this.#slide(input, offset, slot);
    this.seen++;
    if (this.seen > this.lead) this.emit(this.line, this.seen - 1 - this.lead);
    if (this.seen === this.height) this.#shrink();
  }

  #grow(input, offset, slot) {
    const { ring, sums, line, width, seen } = this;
    for (let x = 0; x < width; x++) {
      const value = input[offset + x];
      const sum = fround(sums[x] + value);
      ring[slot + x] = value;
      sums[x] = sum;
      line[x] = sum / (seen + 1);
    }
  }

  #slide(input, offset, slot) {
    const { ring, sums, line, width } = this;
    const share = 1 / this.window;
    for (let x = 0; x < width; x++) {
      const value = input[offset + x];
      const sum = fround(fround(sums[x] + value) - ring[slot + x]);
      ring[slot + x] = value;
      sums[x] = sum;
      line[x] = sum * share;
    }
  }

  #shrink() {
    const { ring, sums, line, width, height, window } = this;
    for (
      let row = height - this.lead, left = height - window, count = window - 1;
      row < height;
      row++, left++, count--
    ) {
      const slot = (left % window) * width;
      for (let x = 0; x < width; x++) {
        sums[x] = sums[x] - ring[slot + x];
        line[x] = sums[x] / count;
      }
      this.emit(line, row);
    }
  }
}

/**
 * At most 256x256 evenly spaced samples of the picture, smoothed once: all that is kept of it, and
 * enough to imagine its copies. Sample k stands for the point (k + 0.5) / count of the side, and is
 * read between the two nearest pixels.
 */
class ReducedPlane {
  constructor(width, height) {
    this.width = Math.min(PLANE_SIDE, width);
    this.height = Math.min(PLANE_SIDE, height);
    this.across = pointsBetween(this.width, width);
    this.down = pointsBetween(this.height, height);
    this.values = new Float32Array(this.width * this.height);
    this.next = 0;
  }

  take(line, row) {
    for (let k = this.next; k < this.height && this.down[k] < row + 1; k++) {
      const weight = 1 - Math.abs(this.down[k] - row);
      if (weight > 0) this.#add(line, k * this.width, weight);
      if (this.down[k] <= row) this.next = k + 1;
    }
  }

  #add(line, start, weight) {
    for (let x = 0; x < this.width; x++) {
      const point = this.across[x],
        left = point | 0,
        part = point - left;
      const value = part === 0 ? line[left] : line[left] * (1 - part) + line[left + 1] * part;
      this.values[start + x] += value * weight;
    }
  }
}

/** Where the samples fall among the pixels; an even window centres its mean half a pixel late. */
function pointsBetween(count, length) {
  const late = windowOf(length) % 2 === 0 ? 0.5 : 0;
  return Float64Array.from({ length: count }, (_, k) =>
    Math.max(0, ((k + 0.5) * length) / count - 0.5 - late),
  );
}

/**
 * Rows of luma in, the 64x64 square PDQ works on out, and on the way a small plane from which
 * variants are made.
 */
export class JaroszFilter {
  constructor(width, height, wantPlane) {
    this.width = width;
    this.window = windowOf(width);
    this.columns = decimated(width);
    this.wanted = decimated(height);
    this.found = 0;
    this.square = new Float32Array(SIDE * SIDE);
    this.narrow = new Float32Array(SIDE);
    this.first = new Float32Array(BLOCK_ROWS * width);
    this.second = new Float32Array(BLOCK_ROWS * width);
    this.third = new Float32Array(BLOCK_ROWS * width);
    this.waiting = 0;
    this.plane = wantPlane ? new ReducedPlane(width, height) : null;
    this.downAgain = new BoxDownColumns(SIDE, height, (line, row) => this.#keep(line, row));
    this.down = new BoxDownColumns(width, height, (line, row) => this.#collect(line, row));
    this.height = height;
  }

  /** `luma` holds at most BLOCK_ROWS rows and is left as it was. */
  push(luma, rows) {
    boxAlongRows(luma, this.first, rows, this.width, this.window);
    for (let row = 0; row < rows; row++) this.down.push(this.first, row * this.width);
  }

  #collect(line, row) {
    this.plane?.take(line, row);
    this.second.set(line, this.waiting * this.width);
    this.waiting++;
    if (this.waiting === BLOCK_ROWS || row === this.height - 1) this.#secondPass();
  }

  #secondPass() {
    const { second, third, waiting, width, columns, narrow } = this;
    boxAlongRows(second, third, waiting, width, this.window);
    for (let row = 0; row < waiting; row++) {
      for (let x = 0; x < SIDE; x++) narrow[x] = third[row * width + columns[x]];
      this.downAgain.push(narrow, 0);
    }
    this.waiting = 0;
  }

  #keep(line, row) {
    while (this.found < SIDE && this.wanted[this.found] === row) {
      this.square.set(line, this.found * SIDE);
      this.found++;
    }
  }
}
