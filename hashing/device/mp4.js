/**
 * Enough of the MP4 and QuickTime container (ISO/IEC 14496-12) to hand a video's compressed frames
 * to WebCodecs.
 *
 * Reads the index only, never the whole file. Fragmented files are not understood: `readTrack` says
 * null, as for anything else that is no plain MP4.
 */
const MOST_INDEX_BYTES = 64 << 20;
const MOST_SAMPLES = 2_000_000;

const typeAt = (view, at) => String.fromCharCode(...[4, 5, 6, 7].map((k) => view.getUint8(at + k)));

/** { type: [[start, end] of each box's content] } between two places of a view. */
function boxesIn(view, start, end) {
  const found = {};
  for (let at = start; at + 8 <= end;) {
    const short = view.getUint32(at);
    const size = short === 1 ? Number(view.getBigUint64(at + 8)) : short || end - at;
    if (size < 8 || at + size > end) break;
    (found[typeAt(view, at)] ??= []).push([at + (short === 1 ? 16 : 8), at + size]);
    at += size;
  }
  return found;
}

/** The content of the `moov` box, wherever in the file it stands, or null. */
async function indexOf(file) {
  for (let at = 0; at + 8 <= file.size;) {
    const head = new DataView(await file.slice(at, at + 16).arrayBuffer());
    const short = head.getUint32(0);
    const size =
      short === 1 && head.byteLength >= 16 ? Number(head.getBigUint64(8)) : short || file.size - at;
    if (size < 8) return null;
    if (typeAt(head, 0) === "moov")
      return size > MOST_INDEX_BYTES
        ? null
        : new DataView(await file.slice(at + 8, at + size).arrayBuffer());
    at += size;
  }
  return null;
}

const first = (boxes, type) => boxes[type]?.[0] ?? [0, 0];
const inside = (view, boxes, type) => boxesIn(view, ...first(boxes, type));

/**
 * The first video track: { codec, description, width, height, rotation, samples }, or null. Samples
 * are in decoding order: { offset, size, key, time } with time in seconds as shown. `rotation` is
 * clockwise, 0, 90, 180 or 270.
 */
export async function readTrack(file) {
  const view = await indexOf(file);
  if (view === null) return null;
  try {
    for (const [start, end] of boxesIn(view, 0, view.byteLength).trak ?? []) {
      const track = videoTrack(view, boxesIn(view, start, end));
      if (track !== null) return track;
    }
  } catch (error) {
    // Thrown by a DataView past its end, and below where the tables do not fit together.
    if (!(error instanceof RangeError)) throw error;
  }
  return null;
}

function videoTrack(view, track) {
  const media = inside(view, track, "mdia");
  const [handler] = first(media, "hdlr");
  if (typeAt(view, handler + 4) !== "vide") return null;
  const table = inside(view, inside(view, media, "minf"), "stbl");
  const coding = codingOf(view, first(table, "stsd"));
  if (coding === null) return null;
  const samples = samplesOf(view, table, timescaleOf(view, first(media, "mdhd")));
  return samples.length === 0
    ? null
    : { ...coding, rotation: rotationOf(view, first(track, "tkhd")), samples };
}

const timescaleOf = (view, [start]) =>
  view.getUint32(start + (view.getUint8(start) === 1 ? 20 : 12));

/** Quarter turns are the only matrices phones write. */
function rotationOf(view, [start]) {
  const at = start + (view.getUint8(start) === 1 ? 52 : 40);
  const a = Math.sign(view.getInt32(at)),
    b = Math.sign(view.getInt32(at + 4));
  return { "0,1": 90, "-1,0": 180, "0,-1": 270 }[`${a},${b}`] ?? 0;
}

const hex2 = (value) => value.toString(16).padStart(2, "0");

/**
 * How the frames are compressed, as WebCodecs wants to hear it. HEVC, VP9 and AV1 in MP4 go the
 * other way, by seeking.
 */
function codingOf(view, [start, end]) {
  const entry = boxesIn(view, start + 8, end);
  const [kind] = Object.keys(entry).filter((type) => type === "avc1" || type === "avc3");
  if (kind === undefined) return null;
  const [at, until] = entry[kind][0];
  const [from, to] = first(boxesIn(view, at + 78, until), "avcC");
  if (to - from < 4) return null;
  const profile = [1, 2, 3].map((k) => hex2(view.getUint8(from + k))).join("");
  return {
    codec: `${kind}.${profile}`,
    description: new Uint8Array(view.buffer, from, to - from),
    width: view.getUint16(at + 24),
    height: view.getUint16(at + 26),
  };
}

function samplesOf(view, table, timescale) {
  const sizes = sizesOf(view, first(table, "stsz"));
  const offsets = offsetsOf(view, table, sizes);
  const times = timesOf(view, table, sizes.length, timescale);
  const keys =
    table.stss && new Set(numbersOf(view, first(table, "stss")).map(([number]) => number - 1));
  return sizes.map((size, i) => ({
    offset: offsets[i],
    size,
    time: times[i],
    key: keys?.has(i) ?? true,
  }));
}

function sizesOf(view, [start]) {
  const all = view.getUint32(start + 4),
    count = view.getUint32(start + 8);
  if (count > MOST_SAMPLES) throw new RangeError("Too many frames.");
  return Array.from({ length: count }, (_, i) => all || view.getUint32(start + 12 + i * 4));
}

/** Rows of `columns` 32-bit numbers of a counted table. */
function numbersOf(view, [start], columns = 1) {
  const count = start ? view.getUint32(start + 4) : 0;
  if (count > MOST_SAMPLES) throw new RangeError("Too many rows.");
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: columns }, (_, column) =>
      view.getUint32(start + 8 + (row * columns + column) * 4),
    ),
  );
}

function chunkOffsets(view, table) {
  if (table.stco) return numbersOf(view, first(table, "stco")).map(([offset]) => offset);
  return numbersOf(view, first(table, "co64"), 2).map(([high, low]) => high * 2 ** 32 + low);
}

/**
 * Where each sample starts: chunks have places, and a table of runs says how many samples each
 * chunk holds.
 */
function offsetsOf(view, table, sizes) {
  const runs = numbersOf(view, first(table, "stsc"), 3);
  if (runs.length === 0) throw new RangeError("Frames without a place.");
  const offsets = [];
  chunkOffsets(view, table).forEach((chunk, index) => {
    while (runs.length > 1 && runs[1][0] <= index + 1) runs.shift();
    for (let k = 0, at = chunk; k < runs[0][1] && offsets.length < sizes.length; k++) {
      offsets.push(at);
      at += sizes[offsets.length - 1];
    }
  });
  if (offsets.length < sizes.length) throw new RangeError("Frames without a place.");
  return offsets;
}

/** Seconds from the first frame shown, of each sample in decoding order. */
function timesOf(view, table, count, timescale) {
  const shifts = numbersOf(view, first(table, "ctts"), 2).flatMap(([run, shift]) =>
    Array(Math.min(run, count)).fill(shift | 0),
  );
  const ticks = [];
  let clock = 0;
  for (const [run, step] of numbersOf(view, first(table, "stts"), 2)) {
    for (let k = 0; k < run && ticks.length < count; k++, clock += step)
      ticks.push(clock + (shifts[ticks.length] ?? 0));
  }
  if (ticks.length < count) throw new RangeError("Frames without a time.");
  const earliest = ticks.reduce((least, tick) => Math.min(least, tick), Infinity);
  return ticks.map((tick) => (tick - earliest) / timescale);
}
