/** Prints every refusal's sentence, by code. */
import { SENTENCES } from "../../hashing/device/refusals.js";

console.log(JSON.stringify(SENTENCES));
