/** Digests every line of tests/vectors/digests.json and prints {checked, wrong}. */
import { readFileSync } from "node:fs";
import { digestsOf } from "../../hashing/device/digests.js";

const { vectors } = JSON.parse(readFileSync(new URL("../vectors/digests.json", import.meta.url)));
const wrong = [];
for (const [place, { text, times, md5, sha256 }] of vectors.entries()) {
  const have = await digestsOf(new Blob([text.repeat(times)]));
  if (have.md5 !== md5 || have.sha256 !== sha256) wrong.push(place);
}
console.log(JSON.stringify({ checked: vectors.length, wrong }));
