/**
 * What the box may say to the page, and nothing else: every letter is checked part by part and made
 * anew, so that nothing rides along.
 */

export const CODES = new Set([
  "empty_file",
  "unreadable_file",
  "unknown_kind",
  "damaged_picture",
  "heic_picture",
  "animated_picture",
  "tiny_picture",
  "huge_picture",
  "plain_picture",
  "hidden_pixels",
  "no_room",
  "stopped",
  "went_wrong",
]);
const MOST_FILES = 50;
const MOST_HASHES = 131;
const WORTH_MATCHING = 50;
const VARIANT = /^[a-z0-9][a-z0-9.+-]{0,39}$/;
const DIGITS = { pdq: 64, "pdq-512": 64, sha256: 64, md5: 32 };
const KINDS = {
  photo: { all: ["pdq", "sha256", "md5"], some: ["pdq-512"] },
  video: { all: ["sha256", "md5"], some: ["vpdq"] },
};
const HEX = /^[0-9a-f]+$/;
const FRAME = /^(0|[1-9][0-9]{0,8}),([5-9][0-9]|100),[0-9a-f]{64},(0|[1-9][0-9]{0,8})\.[0-9]{3}$/;

const whole = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;
const plain = (value) =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
const only = (value, ...names) =>
  plain(value) &&
  Reflect.ownKeys(value).length === names.length &&
  names.every((name) => Object.hasOwn(value, name));

const isHex = (value, type) =>
  typeof value === "string" && value.length === DIGITS[type] && HEX.test(value);

/** The hashes of copies by name, made anew; null for anything else. */
function copiesOf(raw, type) {
  if (!plain(raw) || !whole(Reflect.ownKeys(raw).length, 1, MOST_HASHES)) return null;
  const copies = [];
  for (const name of Reflect.ownKeys(raw)) {
    const copy = raw[name];
    if (typeof name !== "string" || !VARIANT.test(name)) return null;
    if (!only(copy, "quality", "value") || !isHex(copy.value, type)) return null;
    if (!whole(copy.quality, WORTH_MATCHING, 100)) return null;
    copies.push([name, Object.freeze({ quality: copy.quality, value: copy.value })]);
  }
  return Object.freeze(Object.fromEntries(copies));
}

/** The frames of a video, line by line; null for anything else. */
function framesOf(raw) {
  if (!Array.isArray(raw) || !whole(raw.length, 1, MOST_HASHES)) return null;
  const lines = Array.from(raw);
  return lines.every((line) => typeof line === "string" && FRAME.test(line))
    ? Object.freeze(lines)
    : null;
}

function hashesOfType(raw, type) {
  if (type === "vpdq") return framesOf(raw);
  if (type.startsWith("pdq")) return copiesOf(raw, type);
  return isHex(raw, type) ? raw : null;
}

const numberIn = (hashes) => (typeof hashes === "string" ? 1 : Object.keys(hashes).length);

/** What the kind of file must have, and perhaps what it may have; null otherwise. */
function hashesIn(raw, kind) {
  const { all, some } = KINDS[kind];
  if (!plain(raw)) return null;
  const types = Reflect.ownKeys(raw);
  const known = (type) => all.includes(type) || some.includes(type);
  if (!types.every(known) || !all.every((type) => types.includes(type))) return null;
  const hashes = types.map((type) => [type, hashesOfType(raw[type], type)]);
  if (hashes.some(([, of]) => of === null)) return null;
  if (kind === "photo" && !Object.hasOwn(raw.pdq, "original")) return null;
  const number = hashes.reduce((sum, [, of]) => sum + numberIn(of), 0);
  return number <= MOST_HASHES ? Object.freeze(Object.fromEntries(hashes)) : null;
}

const SHAPES = {
  ready: (raw) => only(raw, "is"),
  begun: (raw) => only(raw, "is", "files") && whole(raw.files, 1, MOST_FILES),
  progress: (raw) =>
    only(raw, "is", "file", "percent") && isFile(raw) && whole(raw.percent, 0, 100),
  hashed: (raw) =>
    only(raw, "is", "file", "kind", "hashes") &&
    isFile(raw) &&
    (raw.kind === "photo" || raw.kind === "video"),
  refused: (raw) => only(raw, "is", "file", "code") && isFile(raw) && CODES.has(raw.code),
  too_many: (raw) => only(raw, "is"),
  ended: (raw) => only(raw, "is"),
  leave: (raw) => only(raw, "is"),
};
const isFile = ({ file }) => whole(file, 0, MOST_FILES - 1);

/** The letter, made anew and frozen; null for anything that is not exactly one. */
export function letterFrom(raw) {
  if (!plain(raw) || typeof raw.is !== "string" || !Object.hasOwn(SHAPES, raw.is)) return null;
  if (!SHAPES[raw.is](raw)) return null;
  if (raw.is !== "hashed") return Object.freeze({ ...raw });
  const hashes = hashesIn(raw.hashes, raw.kind);
  return hashes && Object.freeze({ is: "hashed", file: raw.file, kind: raw.kind, hashes });
}

/** What of the library's result is sent, as the service takes it: what can find something. */
export function hashesOf({ kind, variants = [], pdq512, vpdq, md5, sha256 }) {
  if (kind === "video") {
    const frames = vpdq ? { vpdq: vpdq.trimEnd().split("\n") } : {};
    return { ...frames, sha256, md5 };
  }
  const copies = variants.map(({ name, hex, quality }) => [name, { quality, value: hex }]);
  const small =
    pdq512?.quality >= WORTH_MATCHING
      ? { "pdq-512": { original: { quality: pdq512.quality, value: pdq512.hex } } }
      : {};
  return { pdq: Object.fromEntries(copies), ...small, sha256, md5 };
}
