// The page: starts the student, takes a video or the camera, and shows what is recognized.

import { cameraFrames, closeCamera, openCamera } from "./camera.js";
import { asCsv, Display, element } from "./display.js";
import { Encoders } from "./encoders.js";
import { cameraRate } from "./sampling.js";
import { sampledFrames, VideoError } from "./video_file.js";

const find = (id) => document.getElementById(id);
const video = find("video");

// What tests and the console may look at. run: the number of the latest run; results: { time, shares, top }.
export const state = { encoders: null, facts: null, run: 0, results: [], isRunning: false, framesPerSecond: 0 };
let display;

async function load() {
  find("unserved").hidden = true;
  const facts = (state.facts = await (await read("student.json")).json());
  const { size, resolution } = facts.student;
  const count = facts.classes.length;
  find("student").textContent =
    `Student ${size} at ${resolution} px, ${count} classes. It runs on this device: nothing is uploaded.`;
  if (count === 0) {
    throw new VideoError("This student was trained without classes: it has embeddings only, and no classes to show.");
  }
  const [frames, clip] = await Promise.all(
    ["frames.onnx", "clip.onnx"].map(async (name) => new Uint8Array(await (await read(name)).arrayBuffer())),
  );
  const backend = new URLSearchParams(location.search).get("backend") ?? undefined;
  state.encoders = await Encoders.start(facts, { frames, clip }, backend);
  display = new Display(facts.classes, seekTo);
  describeBackend();
  for (const id of ["file", "camera"]) find(id).disabled = false;
  find("status").textContent = "Ready.";
}

async function read(name) {
  const response = await fetch(name);
  if (!response.ok) throw new VideoError(`${name} is missing from this page's folder: export the student again.`);
  return response;
}

function describeBackend() {
  const { backend, workers, note } = state.encoders;
  const place = backend === "WebGPU" ? "WebGPU" : `WASM in ${workers.length} workers`;
  find("backend").textContent = `Runs with ${place}${note ? `; WebGPU is not used: ${note}` : ""}.`;
}

// Recognize a video file.
export async function openFile(file) {
  await run(async (isStopped) => {
    closeCamera(video);
    if (video.src) URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(file);
    video.controls = true;
    await recognize(sampledFrames(file, state.facts, isStopped), undefined, isStopped);
  });
}

async function useCamera() {
  await run(async (isStopped) => {
    video.removeAttribute("src");
    video.controls = false;
    await openCamera(video, isStopped);
    if (!isStopped()) await recognize(cameraFrames(video, cameraRate(state.facts)), 1, isStopped);
  });
}

// Start a run; the one before it ends. work: called with a function that returns whether this run has to end.
async function run(work) {
  const number = ++state.run;
  const isStopped = () => state.run !== number;
  state.results = [];
  state.isRunning = true;
  find("problem").hidden = true;
  find("hint").hidden = true;
  find("stop").hidden = video.hidden = false;
  find("status").textContent = "Starting …";
  display.clear();
  try {
    await work(isStopped);
  } catch (error) {
    if (!isStopped()) report(error);
  }
  if (isStopped()) return;
  state.isRunning = false;
  find("stop").hidden = true;
  if (!find("problem").hidden) return;
  summarize("Done");
  showPlaying();
}

async function recognize(frames, batchSize, isStopped) {
  const interval = 1 / cameraRate(state.facts);
  const start = performance.now();
  let count = 0;
  for await (const results of state.encoders.recognize(frames, batchSize)) {
    if (isStopped()) return;
    count += results.length;
    state.results.push(...results);
    state.framesPerSecond = (1000 * count) / (performance.now() - start);
    display.add(results, interval, video.srcObject ? undefined : video.duration || undefined);
    if (video.paused || video.srcObject) display.show(results.at(-1));
    summarize("Running");
  }
  if (!isStopped() && count === 0) throw new VideoError("This video has no frames.");
}

function summarize(word) {
  const rate = state.framesPerSecond.toFixed(state.framesPerSecond < 10 ? 1 : 0);
  find("status").textContent = `${word}: ${state.results.length} frames, ${rate} frames per second.`;
}

function report(error) {
  closeCamera(video);
  const advice = state.encoders?.backend === "WebGPU" ? "; add ?backend=wasm to the address to do without WebGPU" : "";
  const isPlain = error instanceof VideoError;
  find("problem").textContent = isPlain ? error.message : `This cannot be done here: ${error.message}${advice}.`;
  find("problem").hidden = false;
  find("status").textContent = "";
  if (state.results.length === 0) {
    video.hidden = true;
    find("hint").hidden = false;
  }
}

function seekTo(time) {
  if (!video.srcObject) video.currentTime = time;
}

function stop() {
  state.run++;
  state.isRunning = false;
  closeCamera(video);
  find("stop").hidden = true;
  summarize("Stopped");
}

function save() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([asCsv(state.results, state.facts.classes)], { type: "text/csv" }));
  link.download = "classes.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function showPlaying() {
  const at = state.results.findLast(({ time }) => time <= video.currentTime + 1e-3);
  if (at && !video.srcObject) display.show(at);
}

find("file").onchange = ({ target }) => target.files[0] && openFile(target.files[0]).then(() => (target.value = ""));
find("camera").onclick = useCamera;
find("stop").onclick = stop;
find("save").onclick = save;
video.ontimeupdate = video.onseeked = showPlaying;
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
};
document.ondragleave = () => document.body.classList.remove("dragging");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file && state.encoders) openFile(file);
};
load().catch(report);
