/** `node mp4_index.mjs FILE`: what readTrack finds. */
import { readFileSync } from "node:fs";
import { readTrack } from "../../hashing/device/mp4.js";

const { width, height, rotation, codec, samples } = await readTrack(
  new Blob([readFileSync(process.argv[2])]),
);
const keys = samples.flatMap(({ key }, index) => (key ? [index] : []));
console.log(
  JSON.stringify({ width, height, rotation, codec, keys, times: samples.map(({ time }) => time) }),
);
