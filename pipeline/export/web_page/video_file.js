// Frames of video files at sampled times: decoded by WebCodecs where it can, otherwise by seeking in a <video> element.

import { readTrack } from "./mp4.js";
import { sampledTimes, cameraRate } from "./sampling.js";

// How frames are shown that the browser has turned and converted already; other frames have that of their track.
export const UPRIGHT = {
  orientation: { isTransposed: false, isFlippedDown: false, isFlippedRight: false },
  aspect: 1,
  matrix: null,
};
const BLOCK_BYTES = 4 * 2 ** 20;
const MAX_QUEUED = 8;
const MAX_READY = 4;
const MICROSECONDS = 1e6;
const SEEK_EARLY_SECONDS = 1e-3;

// A problem with what the user gave, in a sentence for them.
export class VideoError extends Error {}

// Yields { frame, times, look } in order; the caller closes frames. look: { orientation, aspect (of pixels), matrix }.
// isStopped: () => whether to end early.
export async function* sampledFrames(file, facts, isStopped = () => false) {
  const track = await decodableTrack(file);
  if (track) yield* decodedFrames(file, track, facts.preprocessing.frames_per_second, isStopped);
  else yield* soughtFrames(file, cameraRate(facts), isStopped);
}

// The track of a file if this browser's WebCodecs can decode it, else null.
export async function decodableTrack(file) {
  if (!("VideoDecoder" in self)) return null;
  let track;
  try {
    track = await readTrack(file);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null; // a damaged index
    throw error;
  }
  if (track === null) return null;
  const { supported } = await VideoDecoder.isConfigSupported(configOf(track)).catch(() => ({}));
  return supported ? track : null;
}

const configOf = ({ codec, description }) => ({ codec, description });

// Frames of a file whose index was read.
async function* decodedFrames(file, track, fps, isStopped) {
  const shown = track.samples.filter(({ isShown }) => isShown).sort((a, b) => a.time - b.time);
  if (shown.length === 0) return;
  const times = shown.map(({ time }) => time);
  const isKey = shown.map((sample) => sample.isKey);
  const wanted = new Map();
  for (const [index, list] of sampledTimes(times, isKey, fps, 1 / track.timescale, track.endTime)) {
    wanted.set(timestamp(shown[index]), list);
  }
  const decoder = new FrameDecoder(track, wanted);
  const read = blockReader(file);
  try {
    for (const sample of track.samples) {
      if (fps === null && !sample.isKey) continue;
      if (isStopped()) return;
      decoder.decode(sample, await read(sample.offset, sample.size));
      yield* decoder.ready();
      while (decoder.isFull) {
        await decoder.change();
        yield* decoder.ready();
      }
    }
    await decoder.flush();
    yield* decoder.ready();
    if (wanted.size) throw new VideoError(`${wanted.size} sampled frames of this video cannot be decoded.`);
  } finally {
    decoder.close();
  }
}

const timestamp = ({ time }) => Math.round(time * MICROSECONDS);

// A VideoDecoder that keeps the wanted frames. wanted: timestamp -> sampled times; what was decoded is removed.
class FrameDecoder {
  constructor(track, wanted) {
    this.wanted = wanted;
    this.track = track;
    this.frames = [];
    this.error = null;
    this.wake = () => {};
    this.decoder = new VideoDecoder({
      output: (frame) => this.keep(frame),
      error: (error) => {
        this.error = new VideoError(`This browser cannot decode the video (${track.codec}): ${error.message}`);
        this.wake();
      },
    });
    this.decoder.ondequeue = () => this.wake();
    this.decoder.configure(configOf(track));
  }

  keep(frame) {
    const times = this.wanted.get(frame.timestamp);
    this.wanted.delete(frame.timestamp);
    const { orientation, aspect, matrix } = this.track;
    if (times) this.frames.push({ frame, times, look: { orientation, aspect, matrix } });
    else frame.close();
    this.wake();
  }

  decode(sample, data) {
    if (this.error) throw this.error;
    const type = sample.isKey ? "key" : "delta";
    this.decoder.decode(new EncodedVideoChunk({ type, timestamp: timestamp(sample), data }));
  }

  get isFull() {
    return this.error !== null || this.decoder.decodeQueueSize >= MAX_QUEUED || this.frames.length > MAX_READY;
  }

  async change() {
    if (this.error) throw this.error;
    await new Promise((resolve) => (this.wake = resolve));
  }

  *ready() {
    while (this.frames.length) yield this.frames.shift();
  }

  async flush() {
    await this.decoder.flush().catch((error) => {
      throw this.error ?? error;
    });
  }

  close() {
    for (const { frame } of this.frames) frame.close();
    if (this.decoder.state !== "closed") this.decoder.close();
  }
}

// Reads ranges of a file, several of them at once where they are near each other.
function blockReader(file) {
  let start = 0;
  let block = new Uint8Array(0);
  return async (offset, size) => {
    if (offset < start || offset + size > start + block.length) {
      start = offset;
      block = new Uint8Array(await file.slice(offset, offset + Math.max(size, BLOCK_BYTES)).arrayBuffer());
      if (block.length < size) throw new VideoError("This video file is truncated.");
    }
    return block.subarray(offset - start, offset - start + size);
  };
}

// Frames of any file that a <video> element plays, one seek each: slower.
async function* soughtFrames(file, fps, isStopped) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(file);
  try {
    await loaded(video, file);
    const duration = await durationOf(video);
    for (let k = 0; k / fps < duration - SEEK_EARLY_SECONDS && !isStopped(); k++) {
      await seek(video, Math.min(k / fps + SEEK_EARLY_SECONDS, duration));
      yield { frame: await createImageBitmap(video), times: [k / fps], look: UPRIGHT };
    }
  } finally {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}

function loaded(video, file) {
  return new Promise((resolve, reject) => {
    video.onloadeddata = () =>
      video.videoWidth ? resolve() : reject(new VideoError(`${file.name} has sound, but no video that this browser can decode.`));
    video.onerror = () =>
      reject(new VideoError(`${file.name} is not a video, or its codec is not supported by this browser.`));
  });
}

// Recordings of browsers state no duration until their end was reached.
async function durationOf(video) {
  if (Number.isFinite(video.duration)) return video.duration;
  await seek(video, Number.MAX_SAFE_INTEGER);
  return Number.isFinite(video.duration) ? video.duration : video.currentTime;
}

function seek(video, time) {
  return new Promise((resolve, reject) => {
    video.onseeked = resolve;
    video.onerror = () => reject(new VideoError("This browser cannot decode the whole video."));
    video.currentTime = time;
  });
}
