"""What is being done in a video, or before a camera: python recognise.py EXPORT_FOLDER VIDEO (or /dev/video0)."""

import json
import pathlib
import sys
from collections import deque

import av
import numpy as np
import onnxruntime

folder, video = pathlib.Path(sys.argv[1]), sys.argv[2]
frames_model = onnxruntime.InferenceSession(next(folder.glob("frames.*.onnx")), providers=["CPUExecutionProvider"])
clip_model = onnxruntime.InferenceSession(folder / "clip.onnx", providers=["CPUExecutionProvider"])
facts = json.loads(frames_model.get_modelmeta().custom_metadata_map["embedonce"])
side, fps = facts["preprocessing"]["resolution"], facts["preprocessing"]["frames_per_second"] or 2
window, due = deque(maxlen=facts["frames_per_clip"]), 0.0

with av.open(video, format="v4l2" if video.startswith("/dev/") else None) as container:
    for frame in container.decode(video=0):
        if frame.time < due:
            continue
        due = frame.time + 1 / fps
        scale = side / min(frame.width, frame.height)
        size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
        if facts["preprocessing"]["crop"] == "none":
            size = {"width": side, "height": side}
        image = frame.reformat(**size, format="rgb24", interpolation="BICUBIC").to_ndarray()
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        square = image[top : top + side, left : left + side].transpose(2, 0, 1)[None]
        window.append((frame.time, frames_model.run(["features"], {"frames": np.ascontiguousarray(square)})[0]))
        seconds = np.array([[t - window[0][0] for t, _ in window]], np.float32)
        features = np.stack([f for _, f in window], 1)
        inputs = {"features": features, "t_rel_sec": seconds, "mask": np.ones(seconds.shape, bool)}
        logits = clip_model.run(["logits"], inputs)[0][0]
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        sys.stdout.write(f"{frame.time:8.2f} s  {facts['classes'][shares.argmax()]}  {shares.max():.0%}\n")
