"""Writes RGB frames to an H.264 video in an MP4 file. The file has its final name only once it is complete."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.video.container import VideoError

CODEC = "libx264"
TICKS = 90_000  # per second


def check_encoder() -> None:
    """PipelineError if this machine's FFmpeg has no H.264 encoder."""
    try:
        av.codec.Codec(CODEC, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise PipelineError(
            f"annotated videos need FFmpeg's encoder {CODEC}, which this build of PyAV does not have; install PyAV's "
            "own wheel (pip install av), or leave out --annotated"
        ) from error


class H264Writer:
    """Writes to `partial`, a path that nothing else uses; the caller renames it after close().

    Frames have the size of the first one, less an odd row and column; others are resized. Times must increase: frames
    that are not later than the one before are left out. VideoError if FFmpeg cannot write.
    """

    def __init__(self, partial: Path):
        self._container = av.open(str(partial), "w", format="mp4")
        self._stream: Any = None
        self._latest = -1

    def add(self, rgb: np.ndarray, time: float) -> None:
        """rgb: (H, W, 3) uint8. time: in seconds, from 0."""
        pts = round(time * TICKS)
        if pts <= self._latest:
            return
        self._latest = pts
        height, width = (side // 2 * 2 for side in rgb.shape[:2])
        if self._stream is None:
            self._stream = self._new_stream(max(2, width), max(2, height))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        frame.pts, frame.time_base = pts, Fraction(1, TICKS)
        self._mux(frame)

    def close(self) -> bool:
        """Complete the file; whether it has any frame."""
        if self._stream is not None:
            self._mux(None)
        self._container.close()
        return self._stream is not None

    def _mux(self, frame) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.error.FFmpegError as error:
            raise VideoError(f"the annotated video cannot be written ({error.strerror})") from error

    def _new_stream(self, width: int, height: int) -> Any:
        stream: Any = self._container.add_stream(CODEC, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.options = {"crf": "23", "preset": "veryfast", "bf": "0"}
        return stream
