/**
 * Hashes every picture of a bundle (see device_engines.py). In node: `node hash_bundle.mjs
 * INDEX.json` prints the answers. A picture is pushed in uneven strips, so that the places where
 * strips meet are tried too.
 */
import { PictureHasher, dihedralHexes, hashPixels } from "../../hashing/device/pdq.js";

const STRIPS = [128, 1, 37, 16, 300];

export function hashInStrips(pixels, width, height) {
  const hasher = new PictureHasher(width, height);
  for (let row = 0, turn = 0; row < height; turn++) {
    const rows = Math.min(STRIPS[turn % STRIPS.length], height - row);
    hasher.push(pixels.subarray(row * width * 4, (row + rows) * width * 4), rows);
    row += rows;
  }
  return answer(hasher.finish());
}

export const hashAtOnce = (pixels, width, height) => answer(hashPixels(pixels, width, height));

function answer({ pdq, pdq512, coefficients }) {
  return { pdq, pdq512, dihedral: coefficients && dihedralHexes(coefficients) };
}

async function main(index) {
  const { open, readFile } = await import("node:fs/promises");
  const file = await open(index.replace(/json$/, "rgba"));
  const answers = [];
  for (const { width, height, offset } of JSON.parse(await readFile(index, "utf8"))) {
    const pixels = new Uint8Array(width * height * 4);
    await file.read(pixels, 0, pixels.length, offset);
    answers.push(hashInStrips(pixels, width, height));
  }
  await file.close();
  console.log(JSON.stringify(answers));
}

if (globalThis.process?.argv[1]?.endsWith("hash_bundle.mjs")) await main(process.argv[2]);
