// Which times of a video are sampled, and which frames of a clip its head gets. Pure arithmetic, as in training.

const MAX_EARLY_SECONDS = 1e-3;
const SAME_TIME = 1e-6;

// Sampled times by index of the frame shown then: Map of index -> [seconds]. times: of all frames, increasing.
// fps: null for the key frames at their own times. isKey: of each frame. tick: duration of one, in seconds.
export function sampledTimes(times, isKey, fps, tick, endTime) {
  const wanted = new Map();
  if (fps === null) {
    times.forEach((time, index) => isKey[index] && wanted.set(index, [time]));
    return wanted;
  }
  const early = Math.min(tick / 2, MAX_EARLY_SECONDS);
  let index = 0;
  for (let k = 0; times[0] + k / fps < endTime - early; k++) {
    const time = times[0] + k / fps;
    while (index + 1 < times.length && times[index + 1] <= time + early) index++;
    if (!wanted.has(index)) wanted.set(index, []);
    wanted.get(index).push(time);
  }
  return wanted;
}

// The last seconds of a stream as clips. facts: of student.json.
export class ClipWindow {
  constructor({ frames_per_clip: length, preprocessing }) {
    this.length = length;
    this.duration = preprocessing.clip_seconds;
    this.rows = [];
  }

  // Add the features of a time; returns the clip that ends there: { seconds since its start, rows of features }, at
  // most frames_per_clip each: the middle one of each of as many equal parts.
  push(time, features) {
    this.rows.push({ time, features });
    while (time - this.rows[0].time > this.duration - SAME_TIME) this.rows.shift();
    const count = Math.min(this.length, this.rows.length);
    const step = this.rows.length / count;
    const chosen = Array.from({ length: count }, (_, i) => this.rows[Math.floor((i + 0.5) * step)]);
    const start = this.rows[0].time;
    return { seconds: chosen.map((row) => row.time - start), features: chosen.map((row) => row.features) };
  }
}

// How often a camera is sampled, in frames per second; students of key frames have no such rate of their own.
export function cameraRate({ frames_per_clip: length, preprocessing }) {
  return preprocessing.frames_per_second ?? length / preprocessing.clip_seconds;
}
