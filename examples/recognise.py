"""What is being done in a video, or before a camera: python recognise.py EXPORT_FOLDER VIDEO (or /dev/video0)."""

import json
import sys
from collections import deque
from pathlib import Path

import av
import numpy as np
import onnxruntime

folder, video = Path(sys.argv[1]), sys.argv[2]
encoder = onnxruntime.InferenceSession(min(folder.glob("frames.*.onnx")), providers=["CPUExecutionProvider"])
head = onnxruntime.InferenceSession(folder / "clip.onnx", providers=["CPUExecutionProvider"])
facts = json.loads(head.get_modelmeta().custom_metadata_map["embedonce"])
made = facts["preprocessing"]
side, step = made["resolution"], 1 / (made["frames_per_second"] or 2)
window, due = deque(maxlen=facts["frames_per_clip"]), 0.0

with av.open(video, format="v4l2" if video.startswith("/dev/") else None) as container:
    for frame in container.decode(video=0):
        if frame.time < due:
            continue
        due = frame.time + step
        scale = side / min(frame.width, frame.height) if made["crop"] == "centre square" else None
        width, height = (round(n * scale) if scale else side for n in (frame.width, frame.height))
        image = frame.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
        top, left = (height - side) // 2, (width - side) // 2
        square = np.ascontiguousarray(image[top : top + side, left : left + side].transpose(2, 0, 1))
        window.append((frame.time, encoder.run(["features"], {"frames": square[None]})[0]))
        times, features = zip(*window, strict=True)
        seconds = np.array([times], np.float32) - np.float32(times[0])
        inputs = {"features": np.stack(features, 1), "t_rel_sec": seconds, "mask": np.ones(seconds.shape, bool)}
        logits = head.run(["logits"], inputs)[0][0]
        share = 1 / np.exp(logits - logits.max()).sum()
        sys.stdout.write(f"{frame.time:8.2f} s  {facts['classes'][logits.argmax()]}  {share:.0%}\n")
