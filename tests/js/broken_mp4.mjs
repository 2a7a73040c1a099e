/**
 * `node broken_mp4.mjs FILE`: reads 600 damaged copies of its index. Each may be null or read; none
 * may throw or hang.
 */
import { readFileSync } from "node:fs";
import { readTrack } from "../../hashing/device/mp4.js";

const whole = new Uint8Array(readFileSync(process.argv[2]));
const index = Buffer.from(whole).indexOf("moov") - 4;
let seed = 12345;
const random = (below) => (
  (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0),
  (seed >>> 8) % below
);
const report = { tried: 0, null: 0, read: 0, thrown: [] };
for (; report.tried < 600; report.tried++) {
  const copy = whole.slice();
  for (let k = 0; k <= random(12); k++)
    copy[index + random(copy.length - index)] = random(4) ? random(256) : 255;
  const end = random(5) ? copy.length : index + random(copy.length - index);
  try {
    report[(await readTrack(new Blob([copy.subarray(0, end)]))) === null ? "null" : "read"]++;
  } catch (error) {
    report.thrown.push(String(error.stack));
  }
}
console.log(JSON.stringify(report));
