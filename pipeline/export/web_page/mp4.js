// Reads the index of MP4 and MOV files: where each coded picture of the video track is, when it is shown, and what a
// decoder must know. Knows nothing of decoding. Fragmented files have no such index: null is returned for them.

import { statedMatrix } from "./color_matrix.js";

const MAX_INDEX_BYTES = 256 * 2 ** 20;
const ONE = 65536; // of fixed-point numbers in matrices

// The video track of a file: { codec, description, orientation, aspect, matrix, timescale, endTime, samples: [{ offset,
// size, time, isKey, isShown }] in decoding order }, times in seconds. null if the file is of another kind, or has no index.
export async function readTrack(file) {
  const index = await findIndex(file);
  if (index === null) return null;
  for (const box of children(index, "trak")) {
    const media = child(box, "mdia");
    if (media && text(child(media, "hdlr"), 8) === "vide") return trackOf(box, media, timescaleOf(child(index, "mvhd")));
  }
  return null;
}

async function findIndex(file) {
  for (let offset = 0; offset + 8 <= file.size; ) {
    const head = new DataView(await file.slice(offset, offset + 16).arrayBuffer());
    const kind = text(head, 4);
    const [size, skip] = boxSize(head, file.size - offset);
    if (offset === 0 && !["ftyp", "moov", "wide", "mdat", "free", "skip"].includes(kind)) return null;
    if (size < skip) return null;
    if (kind === "moov") {
      if (size > MAX_INDEX_BYTES) return null;
      return new DataView(await file.slice(offset + skip, offset + size).arrayBuffer());
    }
    offset += size;
  }
  return null;
}

function boxSize(view, left) {
  const size = view.getUint32(0);
  if (size === 1) return [Number(view.getBigUint64(8)), 16];
  return [size === 0 ? left : size, 8];
}

function* children(view, kind) {
  for (let at = 0; at + 8 <= view.byteLength; ) {
    const inner = new DataView(view.buffer, view.byteOffset + at, view.byteLength - at);
    const [size, skip] = boxSize(inner, inner.byteLength);
    if (size < skip || size > inner.byteLength) return;
    if (text(inner, 4) === kind) yield new DataView(view.buffer, inner.byteOffset + skip, size - skip);
    at += size;
  }
}

const child = (view, kind) => (view ? children(view, kind).next().value : undefined);

function text(view, at) {
  if (!view || view.byteLength < at + 4) return "";
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, 4));
}

const timescaleOf = (header) => header.getUint32(header.getUint8(0) === 1 ? 20 : 12);

function trackOf(box, media, movieTimescale) {
  const timescale = timescaleOf(child(media, "mdhd"));
  const table = child(child(media, "minf"), "stbl");
  const entry = sampleEntry(child(table, "stsd"));
  const listed = samplesOf(table);
  if (entry === null || listed.length === 0) return null;
  const { delay, start } = editOf(child(child(box, "edts"), "elst"));
  const seconds = (ticks) => delay / movieTimescale + (ticks - start) / timescale;
  const samples = listed.map((sample) => ({ ...sample, time: seconds(sample.time), isShown: sample.time >= start }));
  const endTime = seconds(Math.max(...ends(listed)));
  return { ...entry, orientation: orientationOf(child(box, "tkhd")), timescale, samples, endTime };
}

function* ends(samples) {
  for (const { time, duration } of samples.slice(-64)) yield time + duration; // the last one shown is among these
}

// The media time that is shown first, in ticks of the track, and when, in ticks of the movie.
function editOf(list) {
  let delay = 0;
  if (!list) return { delay, start: 0 };
  const isLong = list.getUint8(0) === 1;
  for (let i = 0, at = 8; i < list.getUint32(4); i++, at += isLong ? 20 : 12) {
    const start = isLong ? Number(list.getBigInt64(at + 8)) : list.getInt32(at + 4);
    if (start >= 0) return { delay, start };
    delay += isLong ? Number(list.getBigUint64(at)) : list.getUint32(at);
  }
  return { delay, start: 0 };
}

function orientationOf(header) {
  const at = header.getUint8(0) === 1 ? 52 : 40;
  const [a, b, , c, d] = Array.from({ length: 5 }, (_, i) => header.getInt32(at + 4 * i) / ONE);
  const isTransposed = Math.abs(b) > Math.abs(a);
  const [down, right] = isTransposed ? [b, c] : [d, a];
  return { isTransposed, isFlippedDown: down < 0, isFlippedRight: right < 0 };
}

// Codec string, description for the decoder, aspect of the pixels (null if the stream alone states it), and matrix.
function sampleEntry(descriptions) {
  const entries = new DataView(descriptions.buffer, descriptions.byteOffset + 8, descriptions.byteLength - 8);
  const kind = text(entries, 4);
  const [size] = boxSize(entries, entries.byteLength);
  const parts = new DataView(entries.buffer, entries.byteOffset + 86, Math.max(0, size - 86));
  const spacing = child(parts, "pasp");
  const aspect = spacing ? spacing.getUint32(0) / spacing.getUint32(4) : null;
  for (const [box, kinds, nameOf, isDescribed] of CODECS) {
    const configuration = kinds.includes(kind) && child(parts, box);
    if (!configuration) continue;
    const bytes = new Uint8Array(configuration.buffer, configuration.byteOffset, configuration.byteLength);
    const matrix = statedMatrix(box, bytes, child(parts, "colr"));
    return { codec: nameOf(bytes, kind), description: isDescribed ? bytes : undefined, aspect, matrix };
  }
  return null;
}

const hex = (value) => value.toString(16).padStart(2, "0");
const two = (value) => String(value).padStart(2, "0");
const CODECS = [
  ["avcC", ["avc1", "avc3"], (c, kind) => `${kind}.${hex(c[1])}${hex(c[2])}${hex(c[3])}`, true],
  ["hvcC", ["hvc1", "hev1"], hevcName, true],
  ["av1C", ["av01"], av1Name, false],
  ["vpcC", ["vp09"], (c) => `vp09.${two(c[4])}.${two(c[5])}.${two(c[6] >> 4)}`, false],
  ["vpcC", ["vp08"], () => "vp8", false],
];

function hevcName(c, kind) {
  const compatible = [...new DataView(c.buffer, c.byteOffset + 2, 4).getUint32(0).toString(2).padStart(32, "0")];
  const flags = parseInt(compatible.reverse().join(""), 2).toString(16);
  const constraints = [...c.subarray(6, 12)];
  while (constraints.length && constraints.at(-1) === 0) constraints.pop();
  const profile = ["", "A", "B", "C"][c[1] >> 6] + (c[1] & 31);
  const level = (c[1] & 32 ? "H" : "L") + c[12];
  return [kind, profile, flags, level, ...constraints.map((byte) => byte.toString(16))].join(".");
}

function av1Name(c) {
  const depth = c[2] & 64 ? (c[2] & 32 ? 12 : 10) : 8;
  return `av01.${c[1] >> 5}.${two(c[1] & 31)}${c[2] & 128 ? "H" : "M"}.${two(depth)}`;
}

// Every coded picture in decoding order; times in ticks.
function samplesOf(table) {
  const sizes = child(table, "stsz");
  const chunks = child(table, "co64") ?? child(table, "stco");
  if (!sizes || !chunks) return [];
  const fixed = sizes.getUint32(4);
  const count = fixed ? sizes.getUint32(8) : Math.min(sizes.getUint32(8), (sizes.byteLength - 12) >> 2);
  const times = timesOf(child(table, "stts"), child(table, "ctts"), count);
  const keys = keysOf(child(table, "stss"));
  const places = placesOf(child(table, "stsc"), chunks, child(table, "co64") !== undefined);
  const samples = [];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    const place = places.next().value;
    if (place === undefined || i >= times.length) return samples;
    offset = place ?? offset;
    const size = fixed || sizes.getUint32(12 + 4 * i);
    samples.push({ offset, size, ...times[i], isKey: keys === null || keys.has(i + 1) });
    offset += size;
  }
  return samples;
}

// For each sample the offset of its chunk if it is the chunk's first one, else null.
function* placesOf(runs, chunks, isLong) {
  const numRuns = runs.getUint32(4);
  for (let chunk = 1, run = 0; chunk <= chunks.getUint32(4); chunk++) {
    if (run + 1 < numRuns && runs.getUint32(8 + 12 * (run + 1)) <= chunk) run++;
    yield isLong ? Number(chunks.getBigUint64(8 * chunk)) : chunks.getUint32(4 + 4 * chunk);
    for (let left = runs.getUint32(12 + 12 * run) - 1; left > 0; left--) yield null;
  }
}

function timesOf(durations, shifts, count) {
  const times = [];
  let now = 0;
  for (const [length, duration] of runsOf(durations, count)) {
    for (let i = 0; i < length; i++, now += duration) times.push({ time: now, duration });
  }
  let at = 0;
  for (const [length, shift] of shifts ? runsOf(shifts, count) : []) {
    for (let i = 0; i < length && at < times.length; i++) times[at++].time += shift;
  }
  return times;
}

function* runsOf(view, count) {
  for (let i = 0, left = count; i < view.getUint32(4) && left > 0; i++) {
    const length = Math.min(left, view.getUint32(8 + 8 * i));
    left -= length;
    yield [length, view.getInt32(12 + 8 * i)];
  }
}

function keysOf(view) {
  if (!view) return null;
  return new Set(Array.from({ length: view.getUint32(4) }, (_, i) => view.getUint32(8 + 4 * i)));
}
