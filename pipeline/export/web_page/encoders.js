// The workers that run the student. Where there is WebGPU, one uses it; otherwise several compute in WebAssembly, one
// thread each: that needs no special headers from the server.

import { ClipWindow } from "./sampling.js";

const MAX_WORKERS = 4;
const BATCH = 8;
const MAX_UNPREPARED = 8; // decoded frames that wait for their preparation: decoders have few buffers

class EncoderWorker {
  constructor() {
    this.worker = new Worker("encoder.js", { type: "module" });
    this.waiting = new Map();
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = (event) => this.fail(event.message || "a worker could not be started");
  }

  call(method, args = [], transfer = []) {
    return new Promise((resolve, reject) => {
      const id = crypto.getRandomValues(new Uint32Array(2)).join();
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args }, transfer);
    });
  }

  settle({ id, result, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }

  fail(message) {
    for (const { reject } of this.waiting.values()) reject(new Error(message));
    this.waiting.clear();
  }
}

export class Encoders {
  constructor(workers, facts, backend, note) {
    this.workers = workers;
    this.facts = facts;
    this.backend = backend;
    this.note = note; // why WebGPU is not used, or null
    this.times = { prepare: 0, model: 0 }; // milliseconds, over all workers
    this.turn = 0;
  }

  // Start the workers. facts: of student.json. models: { frames, clip }, bytes of ONNX files. backend: "webgpu", "wasm" or
  // undefined for the best one.
  static async start(facts, models, backend) {
    let note = null;
    if (backend !== "wasm") {
      try {
        if (!(await navigator.gpu?.requestAdapter())) throw new Error("this browser has no WebGPU");
        const workers = await startWorkers(1, "webgpu", facts, models);
        return new Encoders(workers, facts, "WebGPU", null);
      } catch (error) {
        note = error.message;
      }
    }
    const count = Math.max(1, Math.min(MAX_WORKERS, navigator.hardwareConcurrency ?? 1));
    return new Encoders(await startWorkers(count, "wasm", facts, models), facts, "WASM", note);
  }

  // Features and times of decoded frames, in order: yields lists of { time, features (D) }, one list per batch.
  // frames: async iterable of { frame, times, look }; each frame is closed.
  async *encode(frames, batchSize = BATCH) {
    const batches = [];
    const unprepared = new Set();
    let batch = null;
    for await (const { frame, times, look } of frames) {
      batch ??= { worker: this.next(), times: [] };
      const done = this.prepare(batch.worker, frame, look);
      unprepared.add(done);
      done.then(() => unprepared.delete(done), () => {});
      batch.times.push(times);
      if (batch.times.length === batchSize) {
        batches.push(this.finish(batch));
        batch = null;
      }
      if (unprepared.size >= MAX_UNPREPARED) await Promise.race(unprepared);
      while (batches.length > 2 * this.workers.length || (batchSize === 1 && batches.length)) yield await batches.shift();
    }
    if (batch) batches.push(this.finish(batch));
    while (batches.length) yield await batches.shift();
  }

  // Classes at every sampled time, from the last seconds before it: yields { time, probabilities, top }.
  async *recognize(frames, batchSize = BATCH) {
    const window = new ClipWindow(this.facts);
    for await (const rows of this.encode(frames, batchSize)) {
      const clips = rows.map(({ time, features }) => window.push(time, features));
      const logits = await this.next().call("classify", [clips]);
      yield rows.map(({ time }, i) => this.result(time, logits[i]));
    }
  }

  result(time, logits) {
    const shares = this.facts.multi_label ? logits.map((value) => 1 / (1 + Math.exp(-value))) : softmax(logits);
    return { time, shares, top: shares.indexOf(Math.max(...shares)) };
  }

  next() {
    return this.workers[this.turn++ % this.workers.length];
  }

  async prepare(worker, frame, look) {
    this.times.prepare += await worker.call("prepare", [frame, look], [frame]);
  }

  async finish({ worker, times }) {
    const { features, milliseconds } = await worker.call("encode");
    this.times.model += milliseconds;
    const dim = features.length / times.length;
    return times.flatMap((list, i) =>
      list.map((time) => ({ time, features: features.subarray(i * dim, (i + 1) * dim) })),
    );
  }
}

async function startWorkers(count, backend, facts, models) {
  const workers = Array.from({ length: count }, () => new EncoderWorker());
  try {
    await Promise.all(workers.map((worker) => worker.call("start", [backend, facts, models])));
    return workers;
  } catch (error) {
    workers.forEach(({ worker }) => worker.terminate());
    throw error;
  }
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}
