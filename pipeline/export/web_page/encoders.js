// The workers that run the student. Where there is WebGPU, one uses it; otherwise several compute in WebAssembly, one
// thread each: that needs no special headers from the server.

import { ClipWindow } from "./sampling.js";

const MAX_WORKERS = 4;
const BATCH = 8;
const MAX_UNPREPARED = 8; // decoded frames that wait for their preparation: decoders have few buffers

const ignore = () => {};

class EncoderWorker {
  constructor() {
    this.worker = new Worker("encoder.js", { type: "module" });
    this.waiting = new Map();
    this.failure = null; // why it has ended
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = (event) => this.fail(event.message || "a worker could not be started");
  }

  call(method, args = [], transfer = []) {
    if (this.failure) return Promise.reject(new Error(this.failure));
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
    this.failure = message;
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
    this.turn = this.numBatches = 0;
  }

  // Start the workers. facts: of student.json. models: { frames, clip }, bytes of ONNX files. backend: "webgpu", "wasm" or
  // undefined for the best one.
  static async start(facts, models, backend) {
    let note = null;
    if (backend !== "wasm") {
      try {
        if (backend !== "webgpu") await requireGraphicsCard();
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
    const most = batchSize === 1 ? 0 : 2 * this.workers.length; // batches in work
    let batch = null;
    try {
      for await (const { frame, times, look } of frames) {
        batch ??= { worker: this.next(), name: `${++this.numBatches}`, times: [], prepared: [] };
        this.prepare(batch, frame, times, look, unprepared);
        if (batch.times.length === batchSize) {
          batches.push(this.finish(batch));
          batch = null;
        }
        if (unprepared.size >= MAX_UNPREPARED) await Promise.race(unprepared);
        while (batches.length > most) yield await batches.shift();
      }
      if (batch) batches.push(this.finish(batch));
      batch = null;
      while (batches.length) yield await batches.shift();
    } finally {
      batch?.worker.call("discard", [batch.name]).catch(ignore);
    }
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

  prepare({ worker, name, times: timesOfBatch, prepared }, frame, times, look, unprepared) {
    const done = worker.call("prepare", [name, frame, look], [frame]);
    unprepared.add(done);
    done.then((milliseconds) => {
      unprepared.delete(done);
      this.times.prepare += milliseconds;
    }, ignore);
    timesOfBatch.push(times);
    prepared.push(done);
  }

  finish(batch) {
    const rows = this.rowsOf(batch, batch.worker.call("encode", [batch.name]));
    rows.catch(ignore); // whoever awaits it gets the error
    return rows;
  }

  async rowsOf({ times, prepared }, encoded) {
    await Promise.all([...prepared, encoded]);
    const { features, milliseconds } = await encoded;
    this.times.model += milliseconds;
    const dim = this.facts.student.embed_dim;
    return times.flatMap((list, i) =>
      list.map((time) => ({ time, features: features.subarray(i * dim, (i + 1) * dim) })),
    );
  }
}

async function requireGraphicsCard() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("this browser has none");
  if (adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) {
    throw new Error("here it would be computed without a graphics card");
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
