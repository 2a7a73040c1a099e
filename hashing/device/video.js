/**
 * One video from file to hashes: MD5 and SHA-256 always, and where the engine can, vPDQ: the PDQ
 * hash of one frame a second.
 *
 * Frames come from WebCodecs (exact, works in a worker) or, for containers mp4.js does not read,
 * from seeking a <video> element in a page. Seeking sometimes hands back another frame than asked
 * for: the frame's own time is checked, and a wrong one left out.
 */
import { Picture } from "./decode.js";
import { digestsOf } from "./digests.js";
import { readTrack } from "./mp4.js";
import { WORTH_MATCHING, distance } from "./pdq.js";
import { hashPicture } from "./photo.js";

/** How many frames of a video are sent at most, unless the page says another number. */
const MOST_FRAMES = 64;
/** A frame this near to the last one kept says nothing new. */
const SAME_SCENE_BITS = 4;
const WRONG_BY_SECONDS = 0.3;
const SEEK_MS = 3000;
const READ_AHEAD = 16;
const DIGESTS_SHARE = 0.4;

/**
 * vPDQ's text form, one frame a line: number, quality, hash, seconds (vpdq/cpp/io of
 * facebook/ThreatExchange).
 */
export const vpdqText = (frames) =>
  frames
    .map(({ number, quality, hex, time }) => `${number},${quality},${hex},${time.toFixed(3)}\n`)
    .join("");

/** Turns the share of frames read into the share of the whole work. */
export const framesProgress = (onProgress) => (share) =>
  onProgress?.(DIGESTS_SHARE + share * (1 - DIGESTS_SHARE));

/**
 * Keeps frames worth matching that differ from the one kept before; of more than `budget`, as many
 * evenly over the whole length.
 */
export function keptFrames(frames, budget = MOST_FRAMES) {
  const kept = [];
  for (const frame of frames) {
    const last = kept.at(-1);
    const fresh =
      last === undefined ||
      (distance(last.hex, frame.hex) > SAME_SCENE_BITS && frame.number > last.number);
    if (frame.quality >= WORTH_MATCHING && fresh) kept.push(frame);
  }
  if (kept.length <= budget) return kept;
  return Array.from({ length: budget }, (_, at) => kept[Math.floor((at * kept.length) / budget)]);
}

async function hashedFrame(source, width, height, signal) {
  const picture = new Picture(source, width, height);
  try {
    const { pdq } = await hashPicture(picture, { signal, wantPlane: false });
    return pdq;
  } finally {
    picture.close();
  }
}

/** A decoded frame as it is to be shown; a turned one is painted anew and the frame let go. */
function upright(frame, rotation) {
  const { displayWidth: width, displayHeight: height } = frame;
  if (rotation === 0) return [frame, width, height];
  const [across, down] = rotation === 180 ? [width, height] : [height, width];
  const canvas = new OffscreenCanvas(across, down);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.translate(across / 2, down / 2);
  context.rotate((rotation * Math.PI) / 180);
  context.drawImage(frame, -width / 2, -height / 2, width, height);
  frame.close();
  return [canvas.transferToImageBitmap(), across, down];
}

/**
 * For each whole second the first frame shown at or after it, as { index in decoding order, number
 * shown, time }.
 */
export function frameASecond(samples) {
  const shown = samples.map(({ time }, index) => ({ index, time })).sort((a, b) => a.time - b.time);
  const wanted = [];
  shown.forEach(({ index, time }, number) => {
    const isNext = time + 1e-6 >= wanted.length;
    if (isNext) wanted.push({ index, number, time });
  });
  return wanted;
}

/** Runs of samples that can be decoded by themselves: each from a key frame to before the next. */
function groupsOf(samples) {
  const groups = [];
  samples.forEach((sample, index) => {
    if (sample.key || groups.length === 0) groups.push([]);
    groups.at(-1).push(index);
  });
  return groups;
}

/** A decoder that hands each wanted frame on as it comes and drops the others at once. */
class FrameReader {
  #decoder;
  #wanted = new Map();
  #jobs = [];
  #failure = null;
  #onFrame;

  constructor(track, onFrame) {
    this.#onFrame = onFrame;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#take(frame),
      error: (error) => {
        this.#failure = error;
      },
    });
    const { codec, description, width: codedWidth, height: codedHeight } = track;
    this.#decoder.configure({ codec, description, codedWidth, codedHeight });
  }

  #take(frame) {
    const wanted = this.#wanted.get(frame.timestamp);
    if (wanted === undefined) frame.close();
    else this.#jobs.push(this.#onFrame(frame, wanted));
  }

  want(place, timestamp) {
    this.#wanted.set(timestamp, place);
  }

  async decode(chunk) {
    if (this.#failure) throw this.#failure;
    this.#decoder.decode(chunk);
    while (this.#decoder.decodeQueueSize > READ_AHEAD)
      await new Promise((resolve) => setTimeout(resolve, 1));
  }

  async settle() {
    await this.#decoder.flush();
    await Promise.all(this.#jobs.splice(0));
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }
}

const stamp = (sample) => Math.round(sample.time * 1e6);

/** Frames by WebCodecs; null when this engine or this file will not do. */
async function decodedFrames(file, { signal, onProgress }) {
  if (!globalThis.VideoDecoder) return null;
  const track = await readTrack(file);
  if (track === null || !(await supported(track))) return null;
  const found = [];
  const reader = new FrameReader(track, async (frame, place) => {
    found.push({ ...place, ...(await hashedFrame(...upright(frame, track.rotation), signal)) });
  });
  try {
    await readGroups(file, track, reader, { signal, onProgress });
  } finally {
    reader.close();
  }
  return found.sort((a, b) => a.number - b.number);
}

async function supported({ codec, description, width: codedWidth, height: codedHeight }) {
  const answer = await VideoDecoder.isConfigSupported({
    codec,
    description,
    codedWidth,
    codedHeight,
  }).catch(() => null);
  return answer?.supported === true;
}

/** Decodes only the groups that hold a wanted frame. */
async function readGroups(file, { samples }, reader, { signal, onProgress }) {
  const wanted = new Map(frameASecond(samples).map((place) => [place.index, place]));
  for (const group of groupsOf(samples)) {
    signal?.throwIfAborted();
    const places = group.filter((index) => wanted.has(index));
    if (places.length === 0) continue;
    places.forEach((index) => reader.want(wanted.get(index), stamp(samples[index])));
    for (const index of group) await reader.decode(await chunkOf(file, samples[index]));
    await reader.settle();
    onProgress?.(group.at(-1) / samples.length);
  }
}

async function chunkOf(file, sample) {
  const data = await file.slice(sample.offset, sample.offset + sample.size).arrayBuffer();
  return new EncodedVideoChunk({
    type: sample.key ? "key" : "delta",
    timestamp: stamp(sample),
    data,
  });
}

const event = (target, name, ms) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("The video did not answer.")), ms);
    target.addEventListener(
      name,
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
    target.addEventListener(
      "error",
      () => {
        clearTimeout(timer);
        reject(new Error("The video does not open."));
      },
      { once: true },
    );
  });

/** Seeks and says at what time the frame on show really stands. */
async function seek(video, seconds) {
  const shown = new Promise((resolve) =>
    video.requestVideoFrameCallback((_, { mediaTime }) => resolve(mediaTime)),
  );
  const sought = event(video, "seeked", SEEK_MS);
  video.currentTime = seconds;
  await sought;
  const late = new Promise((resolve) => setTimeout(resolve, SEEK_MS / 3, NaN));
  return Promise.race([shown, late]);
}

/**
 * Frames by seeking a <video> element: pages only. Frame numbers are as if the video had 30 frames
 * a second, which no matcher looks at. Null when the video does not open or the engine cannot say
 * which frame it shows.
 */
export async function soughtFrames(file, { signal, onProgress } = {}) {
  if (!globalThis.document || !("requestVideoFrameCallback" in HTMLVideoElement.prototype))
    return null;
  const video = Object.assign(document.createElement("video"), {
    muted: true,
    preload: "auto",
    playsInline: true,
  });
  const url = URL.createObjectURL(file);
  try {
    const opened = event(video, "loadeddata", SEEK_MS * 3);
    video.src = url;
    await opened;
    return await framesOf(video, { signal, onProgress });
  } catch (error) {
    signal?.throwIfAborted();
    return null;
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

async function framesOf(video, { signal, onProgress }) {
  const length = await durationOf(video);
  const found = [];
  for (let second = 0; second < length; second++) {
    signal?.throwIfAborted();
    const time = await seek(video, second + 0.01);
    if (!(Math.abs(time - second) <= WRONG_BY_SECONDS)) continue;
    const bitmap = await createImageBitmap(video);
    const hashed = await hashedFrame(bitmap, bitmap.width, bitmap.height, signal);
    found.push({ number: Math.round(time * 30), time, ...hashed });
    onProgress?.((second + 1) / length);
  }
  return found;
}

/** Recorded WebM says its length only after somebody has looked for the end. */
async function durationOf(video) {
  if (Number.isFinite(video.duration)) return video.duration;
  const known = event(video, "durationchange", SEEK_MS);
  video.currentTime = 1e7;
  await known;
  return Number.isFinite(video.duration) ? video.duration : 0;
}

/**
 * { kind: "video", md5, sha256, vpdq }, at most `budget` frames. `vpdq` is null where no frame could be read or kept: then
 * only exact copies are found, and the page should say so. Throws the signal's reason, or what the
 * file says when it cannot be read.
 */
export async function hashVideo(file, { budget, signal, onProgress } = {}) {
  const digests = await digestsOf(file, {
    signal,
    onProgress: (share) => onProgress?.(share * DIGESTS_SHARE),
  });
  const options = { signal, onProgress: framesProgress(onProgress) };
  const frames =
    (await decodedFrames(file, options).catch(() => null)) ?? (await soughtFrames(file, options));
  signal?.throwIfAborted();
  const kept = keptFrames(frames ?? [], budget);
  return { kind: "video", ...digests, vpdq: kept.length > 0 ? vpdqText(kept) : null };
}
