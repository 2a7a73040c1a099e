/**
 * Hashes 8000x6000 made strip by strip and says how far the process grew over what one strip takes.
 */
import { PictureHasher } from "../../hashing/device/pdq.js";

const WIDTH = 8000,
  HEIGHT = 6000,
  ROWS = 128;
const strip = new Uint8ClampedArray(WIDTH * ROWS * 4);
const before = process.memoryUsage().rss;
const hasher = new PictureHasher(WIDTH, HEIGHT, { wantPlane: true });
let peak = before;
for (let row = 0; row < HEIGHT; row += ROWS) {
  const rows = Math.min(ROWS, HEIGHT - row);
  for (let i = 0; i < rows * WIDTH * 4; i++) strip[i] = ((i >> 9) * 31 + row) ^ (i >> 3);
  hasher.push(strip.subarray(0, rows * WIDTH * 4), rows);
  peak = Math.max(peak, process.memoryUsage().rss);
}
console.log(JSON.stringify({ hex: hasher.finish().pdq.hex, grown_mib: (peak - before) / 2 ** 20 }));
