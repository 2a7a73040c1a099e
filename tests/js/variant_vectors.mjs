/**
 * Variants of three pictures of tests/vectors/pdq.json, by name. `node variant_vectors.mjs` prints
 * them; with --write it rewrites tests/vectors/variants.json (only when variants are meant to
 * change).
 */
import { hashPixels } from "../../hashing/device/pdq.js";
import { VariantMaker, variantsOf } from "../../hashing/device/variants.js";
import { pixelsOf } from "./vector_pictures.mjs";

const PICTURES = ["waves 640x480", "waves 200x300", "waves 1280x720"];
const NAMES = [
  "flipy",
  "rotate90",
  "crop-4-4-4-4",
  "crop-0-0-0-10",
  "crop-1.5-3-0-6.flipy",
  "border-5-black",
  "border-2.5-white.flipx",
  "tilt+2",
  "tilt-3.rotate180",
  "straighten+2.5",
  "shape-1-1",
  "shape-9-16",
  "bars-9-19-black",
  "bars-1-1-white.flipminus1",
];

export function variantVectors({ vectors }) {
  return PICTURES.map((picture) => {
    const vector = vectors.find(({ name }) => name === picture);
    const { width, height } = vector;
    const hashed = hashPixels(pixelsOf(vector), width, height, { wantPlane: true });
    const maker = new VariantMaker(hashed, width, height);
    const taken = variantsOf(hashed, width, height, { budget: 16 }).map(({ name }) => name);
    return { picture, variants: NAMES.map((name) => maker.make(name)), taken };
  });
}

async function main() {
  const { readFile, writeFile } = await import("node:fs/promises");
  const folder = new URL("../vectors/", import.meta.url);
  const made = variantVectors(JSON.parse(await readFile(new URL("pdq.json", folder), "utf8")));
  const about =
    "Variants of pictures of pdq.json, and the first 16 names the ladder keeps; from variants.js.";
  if (process.argv[2] === "--write") {
    await writeFile(
      new URL("variants.json", folder),
      `${JSON.stringify({ about, vectors: made }, null, 1)}\n`,
    );
  }
  console.log(JSON.stringify(made));
}

if (globalThis.process?.argv[1]?.endsWith("variant_vectors.mjs")) await main();
