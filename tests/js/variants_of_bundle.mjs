/**
 * `node variants_of_bundle.mjs INDEX.json REQUEST.json`: for each picture of a bundle, the named
 * variants, or the ladder's. The request is {names: [...]} or {budgets: [...]}, or {ladder: [...],
 * near, budgets}; prints one answer a picture.
 */
import { readFileSync, openSync, readSync } from "node:fs";
import { hashPixels } from "../../hashing/device/pdq.js";
import { VariantMaker, variantsOf } from "../../hashing/device/variants.js";

const [index, request] = process.argv.slice(2);
const { names, budgets, ladder } = JSON.parse(readFileSync(request, "utf8"));
const file = openSync(index.replace(/json$/, "rgba"));

function answer({ width, height, offset }) {
  const pixels = new Uint8Array(width * height * 4);
  readSync(file, pixels, 0, pixels.length, offset);
  const hashed = hashPixels(pixels, width, height, { wantPlane: true });
  if (names === undefined)
    return budgets.map((budget) => variantsOf(hashed, width, height, { budget, ladder }));
  const maker = new VariantMaker(hashed, width, height);
  return names.map((name) => maker.make(name).hex);
}

console.log(JSON.stringify(JSON.parse(readFileSync(index, "utf8")).map(answer)));
