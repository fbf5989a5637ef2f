// A worker that prepares frames and runs the student on them. It answers { id, method, args } with { id, result } or
// { id, error }, one request after the other.

import { UNSPECIFIED } from "./color_matrix.js";
import { Preparer } from "./prepare.js";

const BUILDS = { webgpu: "./ort/ort.webgpu.min.mjs", wasm: "./ort/ort.wasm.min.mjs" };
const ERRORS = 3; // the least severe messages that are logged
const LEAST_COSINE = 0.999;
let ort, frames, clip, facts, preparer;
const prepared = new Map(); // name of a batch -> inputs

const METHODS = {
  // Load the student for a backend, "webgpu" or "wasm", and check its embedding of a known image.
  async start(backend, student, models) {
    facts = student;
    preparer = new Preparer(facts.preprocessing);
    ort = await import(BUILDS[backend]);
    ort.env.wasm.numThreads = 1; // there are several workers
    const session = (model, provider) =>
      ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: ERRORS });
    frames = await session(models.frames, backend);
    clip = await session(models.clip, "wasm");
    await checkOutput();
  },

  // Prepare a decoded frame as the next one of a batch. frame: a VideoFrame or ImageBitmap, which is closed. look: as of
  // sampledFrames. Returns how long it took, in ms.
  async prepare(batch, frame, look) {
    const start = performance.now();
    try {
      const input = preparer.prepare(await pixelsOf(frame, look), look.orientation);
      prepared.set(batch, [...(prepared.get(batch) ?? []), input]);
    } finally {
      frame.close();
    }
    return performance.now() - start;
  },

  // The inputs of a batch, instead of running the student on them.
  async discard(batch) {
    const inputs = prepared.get(batch) ?? [];
    prepared.delete(batch);
    return inputs;
  },

  // Features of a batch, (N, D), and how long they took, in ms.
  async encode(batch) {
    const start = performance.now();
    const { features } = await encodeFrames(await METHODS.discard(batch));
    return { features: features.data, milliseconds: performance.now() - start };
  },

  // Logits of clips. clips: [{ seconds, features }] as ClipWindow returns them.
  async classify(clips) {
    const [length, dim] = [facts.frames_per_clip, facts.student.embed_dim];
    const features = new Float32Array(clips.length * length * dim);
    const seconds = new Float32Array(clips.length * length);
    const mask = new Uint8Array(clips.length * length);
    clips.forEach((one, i) =>
      one.features.forEach((row, j) => {
        features.set(row, (i * length + j) * dim);
        seconds[i * length + j] = one.seconds[j];
        mask[i * length + j] = 1;
      }),
    );
    const { logits } = await clip.run({
      features: new ort.Tensor("float32", features, [clips.length, length, dim]),
      t_rel_sec: new ort.Tensor("float32", seconds, [clips.length, length]),
      mask: new ort.Tensor("bool", mask, [clips.length, length]),
    });
    return clips.map((_, i) => logits.data.slice(i * facts.classes.length, (i + 1) * facts.classes.length));
  },
};

function encodeFrames(inputs) {
  const side = facts.preprocessing.resolution;
  const batch = new Uint8Array(inputs.length * 3 * side * side);
  inputs.forEach((input, i) => batch.set(input, i * input.length));
  return frames.run({ frames: new ort.Tensor("uint8", batch, [inputs.length, 3, side, side]) });
}

// The embedding of a known image, compared with that of PyTorch: graphics drivers may compute wrong numbers.
async function checkOutput() {
  const side = facts.preprocessing.resolution;
  const image = Uint8Array.from({ length: 3 * side * side }, (_, i) => (7 * (i % side) + 5 * Math.floor(i / side)) % 256);
  const found = (await encodeFrames([image])).embeddings.data;
  const cosine = facts.check.embedding.reduce((sum, value, i) => sum + value * found[i], 0);
  if (!(cosine >= LEAST_COSINE)) throw new Error(`its output has a cosine of ${cosine} with the right one`);
}

// A decoded frame as Preparer takes it.
async function pixelsOf(frame, look) {
  const isPlanar = "format" in frame && ["I420", "I420A", "I422", "I444", "NV12"].includes(frame.format);
  return isPlanar ? planesOf(frame, look) : rgbOf(frame);
}

async function planesOf(frame, look) {
  const { width, height } = frame.visibleRect;
  const data = new Uint8Array(frame.allocationSize());
  const layout = await frame.copyTo(data);
  const isHalfWide = frame.format !== "I444";
  const isHalfHigh = isHalfWide && frame.format !== "I422";
  const chroma = { width: isHalfWide ? (width + 1) >> 1 : width, height: isHalfHigh ? (height + 1) >> 1 : height };
  const plane = ({ offset, stride }, size, step = 1) => ({ data, offset, stride, step, ...size });
  const planes = [plane(layout[0], { width, height })];
  if (frame.format === "NV12") {
    const second = { ...layout[1], offset: layout[1].offset + 1 };
    planes.push(plane(layout[1], chroma, 2), plane(second, chroma, 2));
  } else {
    planes.push(plane(layout[1], chroma), plane(layout[2], chroma));
  }
  const aspect = look.aspect ?? (frame.displayWidth * height) / (frame.displayHeight * width);
  return { width, height, aspect, planes, matrix: matrixOf(frame, look), isFullRange: frame.colorSpace.fullRange === true };
}

function matrixOf({ colorSpace, visibleRect: { width, height } }, { matrix }) {
  const stated = matrix ?? colorSpace.matrix ?? UNSPECIFIED;
  if (stated !== UNSPECIFIED) return stated;
  return width >= 1280 || height > 576 ? "bt709" : "smpte170m";
}

// Frames of other formats and images, converted by the browser.
function rgbOf(image) {
  const [width, height] = [image.displayWidth ?? image.width, image.displayHeight ?? image.height];
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const planes = [0, 1, 2].map((offset) => ({ data, offset, stride: 4 * width, step: 4, width, height }));
  return { width, height, aspect: 1, planes, matrix: null, isFullRange: true };
}

let last = Promise.resolve();
self.onmessage = ({ data: { id, method, args } }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ id, result: await METHODS[method](...args) });
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};
