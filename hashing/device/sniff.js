/**
 * What a file is, by its bytes and never by its name: a still picture, a moving one, a video, and
 * whether its end is there.
 *
 * Some browsers decode half a JPEG and paint the rest grey, and such a hash finds nothing; so the
 * end is looked for here.
 */
import { Refusal } from "./refusals.js";

const HEAD = 64;
const HEIC = new Set(["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"]);
const AVIF = new Set(["avif", "avis"]);

const ascii = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
const starts = (bytes, ...values) => values.every((value, i) => bytes[i] === value);

/** How each kind of picture begins, and what to look for in the rest of it. */
const PICTURES = [
  { is: (head) => starts(head, 0xff, 0xd8, 0xff), look: lookAtJpeg },
  { is: (head) => starts(head, 0x89, 0x50, 0x4e, 0x47), look: lookAtPng },
  { is: (head) => ascii(head, 0, 4) === "GIF8", look: lookAtGif },
  { is: (head) => ascii(head, 0, 4) === "RIFF" && ascii(head, 8, 4) === "WEBP", look: lookAtWebp },
  { is: (head) => starts(head, 0x42, 0x4d), look: () => ({ whole: true }) },
];

/**
 * { kind: "picture" | "heic" | "video" | "unknown", and for pictures animated, whole, and width and
 * height where they are easily read }. Refusal `empty_file` for a file of no bytes.
 */
export async function sniff(file) {
  if (file.size === 0) throw new Refusal("empty_file");
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (ascii(head, 4, 4) === "ftyp") return lookAtBoxes(head);
  if (isVideo(head)) return { kind: "video" };
  const picture = PICTURES.find(({ is }) => is(head));
  if (picture === undefined) return { kind: "unknown" };
  return {
    kind: "picture",
    animated: false,
    ...picture.look(new Uint8Array(await file.arrayBuffer())),
  };
}

/** Matroska and WebM, AVI, Ogg, MPEG programme streams, and QuickTime files from before `ftyp`. */
function isVideo(head) {
  return (
    starts(head, 0x1a, 0x45, 0xdf, 0xa3) ||
    starts(head, 0x00, 0x00, 0x01, 0xba) ||
    ascii(head, 0, 4) === "OggS" ||
    (ascii(head, 0, 4) === "RIFF" && ascii(head, 8, 4) === "AVI ") ||
    ["moov", "mdat", "wide"].includes(ascii(head, 4, 4))
  );
}

/** HEIC, AVIF and MP4 share one container; its brands tell them apart. */
function lookAtBoxes(head) {
  const size = Math.min(new DataView(head.buffer).getUint32(0), head.length);
  const brands = [];
  for (let at = 8; at + 4 <= size; at += 4) if (at !== 12) brands.push(ascii(head, at, 4));
  if (brands.some((brand) => AVIF.has(brand)))
    return { kind: "picture", animated: brands.includes("avis"), whole: true };
  return {
    kind: brands.some((brand) => HEIC.has(brand)) ? "heic" : "video",
    animated: false,
    whole: true,
  };
}

/** Walks the segments to the first scan; behind it only an end marker can be FF D9. */
function lookAtJpeg(bytes) {
  let at = 2,
    width,
    height;
  while (at + 9 < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    if (isFrameHeader(bytes[at + 1])) {
      height = bytes[at + 5] * 256 + bytes[at + 6];
      width = bytes[at + 7] * 256 + bytes[at + 8];
    }
    at += 2 + bytes[at + 2] * 256 + bytes[at + 3];
  }
  for (at = bytes.indexOf(0xff, at + 2); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return { whole: true, width, height };
  }
  return { whole: false, width, height };
}

const isFrameHeader = (marker) =>
  marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

function lookAtPng(bytes) {
  const view = new DataView(bytes.buffer);
  if (bytes.length < 33) return { whole: false };
  const size = { width: view.getUint32(16), height: view.getUint32(20) };
  let animated = false;
  for (let at = 8; at + 8 <= bytes.length; at += 12 + view.getUint32(at)) {
    const type = ascii(bytes, at + 4, 4);
    animated ||= type === "acTL";
    if (type === "IEND") return { ...size, animated, whole: true };
  }
  return { ...size, animated, whole: false };
}

/** Blocks of a GIF: a second picture makes it move, the trailer ends it. */
function lookAtGif(bytes) {
  const table = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + table(bytes[10]),
    pictures = 0;
  while (at < bytes.length && bytes[at] !== 0x3b) {
    if (bytes[at] === 0x2c) {
      pictures++;
      at += 11 + table(bytes[at + 9]);
    } else {
      at += 2;
    }
    while (at < bytes.length && bytes[at] !== 0) at += bytes[at] + 1;
    at++;
  }
  return { animated: pictures > 1, whole: at < bytes.length };
}

function lookAtWebp(bytes) {
  const view = new DataView(bytes.buffer);
  const animated = ascii(bytes, 12, 4) === "VP8X" && (bytes[20] & 2) !== 0;
  return { animated, whole: bytes.length >= 8 + view.getUint32(4, true) };
}
