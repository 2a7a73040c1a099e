/**
 * Digests 513 MiB, so that the length in bits needs more than 32 of them, then stops a second
 * reading half way.
 */
import { digestsOf } from "../../hashing/device/digests.js";

const mebibyte = new Blob([new Uint8Array(1 << 20).fill(7)]);
const long = new Blob(Array(513).fill(mebibyte));
const digests = await digestsOf(long);
const stop = new AbortController();
let heard = 0;
const stopped = await digestsOf(long, {
  signal: stop.signal,
  onProgress: (share) => {
    heard = share;
    if (share > 0.01) stop.abort(new Error("enough"));
  },
}).catch((error) => error.message);
console.log(JSON.stringify({ digests, stopped, heard }));
