/**
 * The worker that hashes, one file at a time.
 *
 * Says { ready } once loaded. Takes { file, budget }; answers any number of { progress: 0..1 },
 * then one of { result } or { refusal: code }. It is stopped by ending it, which frees all its
 * memory at once. It opens no connection of any kind.
 */
import { checkReadBack } from "./decode.js";
import { hashFile } from "./file.js";
import { refusalOf } from "./refusals.js";

self.addEventListener("message", async ({ data: { file, budget } }) => {
  const onProgress = (progress) => self.postMessage({ progress });
  try {
    await checkReadBack();
    self.postMessage({ result: await hashFile(file, { budget, onProgress }) });
  } catch (error) {
    self.postMessage({ refusal: refusalOf(error).code });
  }
});
self.postMessage({ ready: true });
