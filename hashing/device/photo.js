/**
 * One photo from file to hashes: decoded, read in strips, hashed, its variants made, its bytes
 * digested.
 *
 * Works in a worker or in a page; it lets others run at least every few strips, so a page stays
 * awake and a stop is heard.
 */
import { openPicture } from "./decode.js";
import { digestsOf } from "./digests.js";
import { PictureHasher, WORTH_MATCHING } from "./pdq.js";
import { Refusal } from "./refusals.js";
import { variantsOf } from "./variants.js";

const PATIENCE_MS = 30;

/** Lets other tasks run; a timer alone would be slowed to 4 ms each. */
const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

/**
 * Feeds a picture to a hasher; onProgress(share) hears 0 to 1. Throws the signal's reason when it
 * is aborted.
 */
export async function hashPicture(picture, { signal, onProgress, wantPlane = true } = {}) {
  const hasher = new PictureHasher(picture.width, picture.height, { wantPlane });
  let done = 0,
    since = performance.now();
  for (const { pixels, rows } of picture.strips()) {
    hasher.push(pixels, rows);
    done += rows;
    if (performance.now() - since < PATIENCE_MS) continue;
    onProgress?.(done / picture.height);
    await breathe();
    signal?.throwIfAborted();
    since = performance.now();
  }
  return hasher.finish();
}

/**
 * { kind: "photo", md5, sha256, pdq512: {hex, quality}, variants: [{name, hex, quality}] }, the
 * photo's own hash first.
 *
 * Throws a Refusal (those of `openPicture`, or plain_picture when the hash would find nothing), or
 * the signal's reason.
 */
export async function hashPhoto(file, { budget, signal, onProgress } = {}) {
  const picture = await openPicture(file);
  let hashed;
  try {
    signal?.throwIfAborted();
    hashed = await hashPicture(picture, {
      signal,
      onProgress: (share) => onProgress?.(share * 0.8),
    });
  } finally {
    picture.close();
  }
  if (hashed.pdq.quality < WORTH_MATCHING) throw new Refusal("plain_picture");
  const { width, height } = picture;
  const variants = variantsOf(hashed, width, height, { budget });
  const digests = await digestsOf(file, {
    signal,
    onProgress: (share) => onProgress?.(0.8 + share * 0.2),
  });
  return { kind: "photo", ...digests, pdq512: hashed.pdq512, variants };
}
