"""A video with the predictions drawn into its frames: at full frame rate for files, as received for live sources.

A frame of a file shows the window whose middle is nearest; a live one shows the latest prediction so far. Sound is not
copied.
"""

import bisect
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from embedonce.pipeline.files.partial_files import partial_path, publish
from embedonce.pipeline.predict.prediction import Prediction
from embedonce.pipeline.video.all_frames import all_frames
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, upright_size
from embedonce.pipeline.video.h264_writer import H264Writer
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.orientation import Orientation

MAX_LONG_SIDE = 1280  # pixels of the annotated video; larger frames are made smaller
TEXT_SHARE = 0.05  # height of the text, of the frame's short side


class AnnotatedVideo:
    """Draws into frames and writes them. The file appears under its name with publish(), or not at all."""

    def __init__(self, path: Path):
        self._path = path
        self._writer = H264Writer(partial_path(path))
        self._scale, self._aspect = Scaler(), AspectReader()

    def add(self, time: float, frame: Any, orientation: Orientation, prediction: Prediction | None) -> None:
        """time: seconds from 0. frame: av.VideoFrame. prediction: None draws nothing."""
        image = upright_image(frame, orientation, self._scale, self._aspect)
        self._writer.add(image if prediction is None else drawn(image, caption(prediction)), time)

    def publish(self) -> bool:
        """Complete the file; whether it has any frame. Without one, there is no file."""
        if not self._writer.close():
            partial_path(self._path).unlink(missing_ok=True)
            return False
        publish(self._path)
        return True

    def discard(self) -> None:
        """Delete what was written."""
        with contextlib.suppress(Exception):
            self._writer.close()
        with contextlib.suppress(OSError):
            os.unlink(partial_path(self._path))


def annotate_file(
    video: AnnotatedVideo, location: VideoLocation, predictions: Sequence[Prediction], max_seconds: float | None
) -> None:
    """Add all frames of a file with its predictions, in order of time."""
    middles = [(one.start + one.end) / 2 for one in predictions]
    first = None
    for second, frame, orientation in all_frames(location):
        first = second if first is None else first
        if max_seconds is not None and second - first >= max_seconds:
            return
        video.add(second - first, frame, orientation, nearest(predictions, middles, second))


def nearest(predictions: Sequence[Prediction], middles: Sequence[float], second: float) -> Prediction | None:
    """The prediction whose middle is nearest to this second; middles: of the predictions, increasing."""
    if not predictions:
        return None
    at = bisect.bisect_left(middles, second)
    around = [place for place in (at, at - 1) if 0 <= place < len(middles)]  # the later one of two that are as near
    return predictions[min(around, key=lambda place: abs(middles[place] - second))]


def caption(prediction: Prediction) -> str:
    """What is drawn: the label and its probability, or what there is in its place."""
    if prediction.probability is None:
        return "too few frames"
    best = prediction.top[0].label
    text = f"{best}  {prediction.probability:.0%}"
    return text if prediction.label is not None else f"uncertain ({text})"


def upright_image(frame: Any, orientation: Orientation, scale: Scaler, aspect: AspectReader) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright, with square pixels, no longer than MAX_LONG_SIDE."""
    height, width = upright_size((frame.height, frame.width), aspect(frame) or SQUARE, orientation)
    smaller = min(1.0, MAX_LONG_SIDE / max(height, width))
    size = round(height * smaller), round(width * smaller)
    rgb = scale(frame, size[::-1] if orientation.swaps_sides else size)
    rgb = np.rot90(rgb, -orientation.rotation // 90)
    return rgb[:, ::-1] if orientation.mirrored else rgb


def drawn(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of an (H, W, 3) uint8 image with white text on a dark bar at its bottom, as large as fits."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    size = max(8, round(TEXT_SHARE * min(picture.size)))
    font = ImageFont.load_default(size)
    room = picture.width - size
    while size > 8 and font.getlength(text) > room:
        size -= 1
        font = ImageFont.load_default(size)
    bar = Image.new("RGB", (picture.width, min(picture.height, 2 * size)), (20, 20, 20))
    ImageDraw.Draw(bar).text((size // 2, size // 2), text, (255, 255, 255), font)
    picture.paste(bar, (0, picture.height - bar.height))
    return np.asarray(picture)
