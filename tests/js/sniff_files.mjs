/** `node sniff_files.mjs FILE…`: what each file is. */
import { readFileSync } from "node:fs";
import { sniff } from "../../hashing/device/sniff.js";

const files = process.argv.slice(2).map((path) => new Blob([readFileSync(path)]));
console.log(JSON.stringify(await Promise.all(files.map(sniff))));
