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
const HEX = /^[0-9a-f]+$/;

const whole = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;
const plain = (value) =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
const only = (value, ...names) =>
  plain(value) &&
  Reflect.ownKeys(value).length === names.length &&
  names.every((name) => Object.hasOwn(value, name));

function hashOf(raw) {
  const matched = plain(raw) && (raw.type === "pdq" || raw.type === "pdq-512");
  const names = matched ? ["type", "value", "variant", "quality"] : ["type", "value"];
  if (!only(raw, ...names)) return null;
  const { type, value } = raw;
  if (typeof type !== "string" || !Object.hasOwn(DIGITS, type)) return null;
  if (typeof value !== "string" || value.length !== DIGITS[type] || !HEX.test(value)) return null;
  if (!matched) return Object.freeze({ type, value });
  const { variant, quality } = raw;
  if (typeof variant !== "string" || !VARIANT.test(variant)) return null;
  if (!whole(quality, WORTH_MATCHING, 100)) return null;
  return Object.freeze({ type, value, variant, quality });
}

/** One of each exact hash, and no variant twice; null otherwise. */
function hashesIn(raw, kind) {
  if (!Array.isArray(raw) || !whole(raw.length, 2, kind === "photo" ? MOST_HASHES : 2)) return null;
  const hashes = Array.from(raw, hashOf);
  if (hashes.includes(null)) return null;
  const names = new Set(hashes.map(({ type, variant }) => `${type} ${variant ?? ""}`));
  const exact = names.has("md5 ") && names.has("sha256 ");
  const own = kind === "video" || names.has("pdq original");
  return names.size === hashes.length && exact && own ? Object.freeze(hashes) : null;
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

/** What of the library's result is sent: the hashes that can find something. */
export function hashesOf({ kind, variants = [], pdq512, md5, sha256 }) {
  const matched = variants.map(({ name, hex, quality }) => ({
    type: "pdq",
    value: hex,
    variant: name,
    quality,
  }));
  if (kind === "photo" && pdq512?.quality >= WORTH_MATCHING) {
    const { hex, quality } = pdq512;
    matched.push({ type: "pdq-512", value: hex, variant: "original", quality });
  }
  return [...matched, { type: "sha256", value: sha256 }, { type: "md5", value: md5 }];
}
