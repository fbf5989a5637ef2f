"""Recognize actions in a video or camera stream: python recognise.py EXPORT_FOLDER VIDEO_OR_DEVICE [START END]"""

import json
import sys
from itertools import chain
from pathlib import Path

import av
import numpy as np
import onnxruntime
from av.video.reformatter import Interpolation as How

if len(sys.argv) not in (3, 5) or not (Path(sys.argv[1]) / "frames.fp32.onnx").exists():
    sys.exit(f"{__doc__}\nEXPORT_FOLDER must be the output of export-student with the format fp32")
models = [onnxruntime.InferenceSession(Path(sys.argv[1]) / name) for name in ("frames.fp32.onnx", "clip.onnx")]
facts = json.loads(models[0].get_modelmeta().custom_metadata_map["embedonce"])
preprocessing, span = facts["preprocessing"], [float(second) for second in sys.argv[3:]]
short, side, fps = (preprocessing[name] for name in ("canonical_short_side", "resolution", "frames_per_second"))
if not facts["classes"]:
    sys.exit(
        f"the student in {sys.argv[1]} was trained without classes: it has embeddings only, and no class names to print"
    )


def resize_weights(length):  # (side, length): weights that resize a row of pixels with antialiasing, as Pillow does
    scale = length / side
    x = np.abs(np.arange(length) + 0.5 - (np.arange(side)[:, None] + 0.5) * scale) / max(scale, 1)
    cubic = np.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2) * (x < 2)
    weights = cubic if preprocessing["interpolation"] == "bicubic" else np.maximum(0, 1 - x)
    return weights / weights.sum(1, keepdims=True)


def upright(image, frame):  # rotated and mirrored by the display matrix: x' = a x + c y, y' = b x + d y
    matrix = frame.side_data.get("DISPLAYMATRIX")
    a, b, c, d = np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]].tolist() if matrix else (1, 0, 0, 1)
    if -(2**31) in (a, b, c, d):  # invalid matrix
        return image
    is_rotated = abs(b) > abs(a)
    down, right = (b, c) if is_rotated else (d, a)
    image = image.swapaxes(0, 1) if is_rotated else image
    return image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def encode(frame):  # decoded frame -> upright canonical frame -> evaluation crop -> features (1, D)
    width, height = frame.width * float(stream.sample_aspect_ratio or 1), frame.height
    size = [short + 2 * round((x * short / min(width, height) - short) / 2) for x in (width, height)]
    matrix = "ITU709" if frame.colorspace == 2 and (frame.width >= 1280 or frame.height > 576) else None
    exact = How.BICUBIC | How.ACCURATE_RND | How.FULL_CHR_H_INT | How.FULL_CHR_H_INP
    image = upright(frame.reformat(*size, "rgb24", matrix, interpolation=exact).to_ndarray(), frame)
    top, left = ((x - short) // 2 if preprocessing["crop"] != "none" else 0 for x in image.shape[:2])
    image = image[top : image.shape[0] - top, left : image.shape[1] - left].transpose(2, 0, 1)
    image = np.clip(np.rint(image @ resize_weights(image.shape[2]).T), 0, 255)
    image = np.clip(np.rint(resize_weights(image.shape[1]) @ image), 0, 255).astype(np.uint8)
    return models[0].run(["features"], {"frames": image[None]})[0]


def sampled_frames():  # (time, frame) at the times that training sampled, or of key frames if it used those
    last = first = None
    now, k, step = 0.0, 0, 1 / float(stream.codec_context.framerate or stream.average_rate or 25)
    for frame in chain(container.decode(stream), [None]):
        has_time = frame is not None and frame.pts is not None  # neither after the last frame nor in raw streams
        now = frame.time if has_time else now + step if last else now
        first = now if first is None else first
        while fps and last and first + k / fps < now - min(float(stream.time_base) / 2, 1e-3):
            yield first + k / fps, last
            k += 1
        if frame and not fps:
            yield now, frame
        last = frame


try:
    container = av.open(sys.argv[2], format="v4l2" if sys.argv[2].startswith("/dev/") else None)
except (OSError, ValueError) as error:
    sys.exit(f"{sys.argv[2]} cannot be read: {error}")
if not container.streams.video:
    sys.exit(f"{sys.argv[2]} has no video stream")
stream, rows = container.streams.best("video"), []
stream.codec_context.skip_frame = "DEFAULT" if fps else "NONKEY"
for time, frame in chain(sampled_frames(), [(None, None)]):
    if frame and (not span or span[0] - 1e-6 <= time < span[1] - 1e-6):
        rows.append((time, encode(frame)))
        while not span and time - rows[0][0] > preprocessing["clip_seconds"] - 1e-6:
            rows.pop(0)
    if rows and (frame is None) == bool(span):  # a time range gets one prediction, a stream one per sampled time
        bounds = np.linspace(0, len(rows), min(facts["frames_per_clip"], len(rows)) + 1)
        times, parts = zip(*(rows[int(i)] for i in (bounds[:-1] + bounds[1:]) / 2), strict=True)
        seconds = np.array([times]) - (span[0] if span else rows[0][0])
        inputs = {"features": np.stack(parts, 1), "t_rel_sec": seconds.astype(np.float32)}
        logits = models[1].run(["logits"], inputs | {"mask": np.ones(seconds.shape, bool)})[0][0]
        share = 1 / np.exp(logits - logits.max()).sum()
        sys.stdout.write(f"{rows[-1][0]:8.2f} s  {facts['classes'][logits.argmax()]}  {share:.0%}\n")
