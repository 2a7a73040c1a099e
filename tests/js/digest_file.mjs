/**
 * `node digest_file.mjs FILE`: digests of FILE's first 0..200 bytes, of all of it in odd pieces,
 * and as a Blob with its progress.
 */
import { readFileSync } from "node:fs";
import { digestsOf, md5, sha256 } from "../../hashing/device/digests.js";

const bytes = new Uint8Array(readFileSync(process.argv[2]));
const short = [];
for (let length = 0; length <= 200; length++)
  short.push(await digestsOf(new Blob([bytes.subarray(0, length)])));

const pieces = { md5: md5(), sha256: sha256() };
for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7 + 3) % 5000) {
  const piece = bytes.subarray(at, at + size);
  pieces.md5.update(piece);
  pieces.sha256.update(piece);
}

const progress = [];
const whole = await digestsOf(new Blob([bytes]), { onProgress: (share) => progress.push(share) });
console.log(
  JSON.stringify({
    short,
    pieces: { md5: pieces.md5.hex(), sha256: pieces.sha256.hex() },
    whole,
    progress,
  }),
);
