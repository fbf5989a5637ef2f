"""What is being done in an upright video, or before a camera: python recognise.py EXPORT_FOLDER VIDEO_OR_DEVICE"""

import json
import sys
from collections import deque
from pathlib import Path

import av
import numpy as np
import onnxruntime

if len(sys.argv) != 3 or not (Path(sys.argv[1]) / "frames.fp32.onnx").exists():
    sys.exit(f"{__doc__}\nEXPORT_FOLDER is what export-student wrote, with frames.fp32.onnx in it")
models = [onnxruntime.InferenceSession(Path(sys.argv[1]) / name) for name in ("frames.fp32.onnx", "clip.onnx")]
facts = json.loads(models[0].get_modelmeta().custom_metadata_map["embedonce"])
made, count = facts["preprocessing"], facts["frames_per_clip"]
side, step = made["resolution"], made["clip_seconds"] / count
window, due = deque(maxlen=count), 0.0

with av.open(sys.argv[2], format="v4l2" if sys.argv[2].startswith("/dev/") else None) as container:
    for frame in container.decode(video=0):
        if frame.time < due:
            continue
        due = frame.time + step
        scale = side / min(frame.width, frame.height)
        size = (side, side) if made["crop"] == "none" else (round(frame.width * scale), round(frame.height * scale))
        matrix = "ITU709" if frame.colorspace == 2 and (frame.width >= 1280 or frame.height > 576) else None
        image = frame.reformat(*size, "rgb24", matrix, interpolation=made["interpolation"].upper()).to_ndarray()
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        square = np.ascontiguousarray(image[top : top + side, left : left + side].transpose(2, 0, 1))
        window.append(models[0].run(["features"], {"frames": square[None]})[0])
        seconds = (np.arange(len(window), dtype=np.float32)[None] + 0.5) * np.float32(step)
        inputs = {"features": np.stack(window, 1), "t_rel_sec": seconds, "mask": np.ones(seconds.shape, bool)}
        logits = models[1].run(["logits"], inputs)[0][0]
        share = 1 / np.exp(logits - logits.max()).sum()
        sys.stdout.write(f"{frame.time:8.2f} s  {facts['classes'][logits.argmax()]}  {share:.0%}\n")
