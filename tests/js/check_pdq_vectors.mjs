/**
 * Makes the pictures of tests/vectors/pdq.json from their formulas, hashes them, and prints
 * {checked, wrong: [names]}.
 */
import { readFileSync } from "node:fs";
import { dihedralHexes, hashPixels } from "../../hashing/device/pdq.js";
import { pixelsOf } from "./vector_pictures.mjs";

function answer(vector) {
  const { pdq, pdq512, coefficients } = hashPixels(pixelsOf(vector), vector.width, vector.height);
  return coefficients ? { pdq, pdq512, dihedral: dihedralHexes(coefficients) } : { pdq, pdq512 };
}

function main() {
  const { vectors } = JSON.parse(readFileSync(new URL("../vectors/pdq.json", import.meta.url)));
  const wrong = vectors.filter((vector) => {
    const { pdq, pdq512, dihedral } = vector;
    return JSON.stringify(answer(vector)) !== JSON.stringify({ pdq, pdq512, dihedral });
  });
  console.log(JSON.stringify({ checked: vectors.length, wrong: wrong.map(({ name }) => name) }));
}

if (process.argv[1]?.endsWith("check_pdq_vectors.mjs")) main();
