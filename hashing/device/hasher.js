/**
 * What a page uses: hashes files one after the other without holding the page up, and stops at any
 * moment.
 *
 * Works in a worker where one can be had. In a frame of opaque origin, where a worker's address
 * does not load, it hashes in the frame itself and lets the page breathe. Results and refusals are
 * the same.
 */
import { checkReadBack } from "./decode.js";
import { hashFile } from "./file.js";
import { Refusal, refusalOf } from "./refusals.js";
import { framesProgress, keptFrames, soughtFrames, vpdqText } from "./video.js";

/** Some browsers never say that a worker will not load. */
const START_MS = 10_000;

/** Runs `hash(file, options)` in turn; stop() ends the one under way and frees its memory. */
export class DeviceHasher {
  #workerUrl;
  #worker = null;
  #workerFails = false;
  #stop = null;

  /** A page under Trusted Types hands its own trusted `workerUrl` of worker.js. */
  constructor({ workerUrl = new URL("./worker.js", import.meta.url) } = {}) {
    this.#workerUrl = workerUrl;
  }

  /**
   * What `hashFile` gives. Options: budget (hashes a file), onProgress(share), signal
   * (AbortSignal). Throws a Refusal, with code `stopped` after the signal or stop().
   */
  async hash(file, { budget, onProgress, signal } = {}) {
    if (this.#stop !== null) throw new Error("One file at a time.");
    const stop = (this.#stop = new AbortController());
    const onAbort = () => stop.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) stop.abort();
    try {
      const hashed = await this.#hash(file, { budget, onProgress, signal: stop.signal });
      onProgress?.(1);
      return hashed;
    } catch (error) {
      throw stop.signal.aborted ? new Refusal("stopped") : refusalOf(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#stop = null;
    }
  }

  /** Stops what is under way; hash() then throws `stopped`. */
  stop() {
    this.#stop?.abort();
  }

  /** Lets the worker go. The hasher can be used again all the same. */
  close() {
    this.stop();
    this.#worker?.terminate();
    this.#worker = null;
  }

  async #hash(file, options) {
    options.signal.throwIfAborted();
    const worker = await this.#ready();
    options.signal.throwIfAborted();
    if (worker === null) {
      await checkReadBack();
      return hashFile(file, options);
    }
    const result = await this.#inWorker(worker, file, options);
    return result.kind === "video" && result.vpdq === null
      ? withSoughtFrames(result, file, options)
      : result;
  }

  /**
   * The worker, or null where the browser will not load one. A browser only says so once the worker
   * should have answered.
   */
  async #ready() {
    if (this.#workerFails) return null;
    try {
      this.#worker ??= await startedWorker(this.#workerUrl);
    } catch {
      this.#workerFails = true;
    }
    return this.#worker;
  }

  #inWorker(worker, file, { budget, onProgress, signal }) {
    return new Promise((resolve, reject) => {
      signal.addEventListener(
        "abort",
        () => {
          this.#drop(worker);
          reject(signal.reason);
        },
        { once: true },
      );
      worker.onmessage = ({ data }) => {
        if ("progress" in data) onProgress?.(data.progress);
        else if ("refusal" in data) reject(new Refusal(data.refusal));
        else resolve(data.result);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        this.#drop(worker);
        reject(new Refusal("went_wrong"));
      };
      worker.postMessage({ file, budget });
    });
  }

  #drop(worker) {
    worker.terminate();
    if (this.#worker === worker) this.#worker = null;
  }
}

/** Resolves once the worker's modules have loaded; rejects where they may not. */
function startedWorker(url) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { type: "module" });
    const giveUp = () => {
      worker.terminate();
      reject(new Error("No worker here."));
    };
    const silence = setTimeout(giveUp, START_MS);
    worker.onmessage = () => {
      clearTimeout(silence);
      resolve(worker);
    };
    worker.onerror = (event) => {
      clearTimeout(silence);
      event.preventDefault();
      giveUp();
    };
  });
}

async function withSoughtFrames(result, file, { budget, signal, onProgress }) {
  const options = { signal, onProgress: framesProgress(onProgress) };
  const kept = keptFrames((await soughtFrames(file, options)) ?? [], budget);
  return kept.length > 0 ? { ...result, vpdq: vpdqText(kept) } : result;
}
