/** Prints the library's codes. */
import { PASS_CODES } from "../../app/web/child/static/privacy-pass.js";

console.log(JSON.stringify(PASS_CODES));
