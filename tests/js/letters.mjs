/** Runs letterFrom over what stands on standard input, a list; prints what it let through. */
import { readFileSync } from "node:fs";
import { CODES, letterFrom } from "../../app/web/child/static/letters.js";

const letters = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify({ read: letters.map(letterFrom), codes: [...CODES] }));
