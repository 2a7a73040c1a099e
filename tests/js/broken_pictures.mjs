/** `node broken_pictures.mjs FILE…`: sniffs 400 damaged copies of each; none may surprise. */
import { readFileSync } from "node:fs";
import { sniff } from "../../hashing/device/sniff.js";

let seed = 2024;
const random = (below) => (
  (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0),
  (seed >>> 8) % below
);
const report = { tried: 0, kinds: [], surprises: [] };
for (const path of process.argv.slice(2)) {
  const whole = new Uint8Array(readFileSync(path));
  for (let k = 0; k < 400; k++, report.tried++) {
    const copy = whole.slice(0, 1 + random(random(2) ? whole.length : 60));
    for (let flips = random(20); flips > 0; flips--) copy[random(copy.length)] = random(256);
    try {
      const { kind } = await sniff(new Blob([copy]));
      if (!report.kinds.includes(kind)) report.kinds.push(kind);
    } catch (error) {
      if (error.name !== "Refusal") report.surprises.push(String(error.stack));
    }
  }
}
console.log(JSON.stringify(report));
