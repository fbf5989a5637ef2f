// Frames of a camera at the student's rate, as long as it is open.

import { UPRIGHT, VideoError } from "./video_file.js";

const SAME_TIME = 1e-3;
const REASONS = {
  NotAllowedError: "The camera was refused: allow it in the browser's settings of this page, and press the button again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

// Open a camera and show it in a <video> element, unless isStopped() by the time it is allowed. VideoError in plain words.
export async function openCamera(video, isStopped) {
  closeCamera(video);
  if (!navigator.mediaDevices) {
    throw new VideoError("Browsers open a camera only for pages from https:// or from localhost.");
  }
  try {
    const wish = { video: { facingMode: { ideal: "environment" } }, audio: false };
    const stream = await navigator.mediaDevices.getUserMedia(wish);
    if (isStopped()) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    throw new VideoError(REASONS[error.name] ?? `The camera cannot be opened: ${error.message}`);
  }
}

export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

// Yields { frame, times, look } of the shown frames, at most fps a second; fewer if the caller is slower.
export async function* cameraFrames(video, fps) {
  let start = null;
  let due = 0;
  while (video.srcObject?.active) {
    const now = await shownFrame(video);
    if (now === null) continue;
    start ??= now;
    if (now - start < due - SAME_TIME) continue;
    due = Math.max(due + 1 / fps, now - start);
    yield { frame: await createImageBitmap(video), times: [now - start], look: UPRIGHT };
  }
}

// The time of the next frame that is shown, in seconds; null if none comes: the camera may have been closed.
function shownFrame(video) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), 1000);
    const done = (now) => {
      clearTimeout(timer);
      resolve(now / 1000);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
  });
}
