"""Convert a decoded frame to RGB of a given size: color conversion and resizing in one step of FFmpeg's swscale."""

from fractions import Fraction

import av
import av.filter
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from embedonce.pipeline.video.container import VideoError

# Bicubic, its kernel widened with the reduction (antialiasing); chroma at full resolution, exact rounding
FLAGS = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67


class Scaler:
    """Converts frames to (height, width, 3) uint8 full-range RGB, using each frame's own matrix, range and bit depth.

    A frame without a matrix is BT.709 if it is larger than standard definition, otherwise BT.601 (mpv's rule). Alpha is
    dropped. VideoError for colors that cannot be converted.
    """

    def __init__(self):
        self._reformatter = VideoReformatter()  # keeps its filters from frame to frame
        self._left_half = _LeftHalf()

    def __call__(self, frame: av.VideoFrame, size: tuple[int, int] | None = None, left_eye=False) -> np.ndarray:
        """size: (height, width) of the result, by default that of the frame. left_eye: convert only the left half."""
        try:
            matrix = _matrix(frame)
            frame = self._left_half(frame) if left_eye else frame
            height, width = size or (frame.height, frame.width)
            return self._reformatter.reformat(
                frame,
                width=width,
                height=height,
                format="rgb24",
                src_colorspace=matrix,
                interpolation=FLAGS,
                threads=1,
            ).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"its colors ({frame.format.name}) cannot be converted ({error})") from error


def rescaled(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An RGB image, (H, W, 3) uint8, with this (height, width), resized as frames of videos are."""
    return Scaler()(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"), size)


class _LeftHalf:
    """Crops frames before resizing, so that no pixels of the right eye bleed into the left one."""

    def __init__(self):
        self._graph, self._shape = None, None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            self._graph, self._shape = self._made(frame), shape
        self._graph.push(frame)
        return self._graph.pull()

    @staticmethod
    def _made(frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        half, sink = graph.add("crop", f"{frame.width // 2}:{frame.height}:0:0:exact=1"), graph.add("buffersink")
        source.link_to(half)
        half.link_to(sink)
        graph.configure()
        return graph


def _matrix(frame: av.VideoFrame) -> Colorspace | None:
    if frame.colorspace != UNSPECIFIED or frame.format.is_rgb:
        return None
    return Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601


def hdr_note(frame: av.VideoFrame) -> list[str]:
    """A note if the frame has a high dynamic range."""
    name = HDR_TRANSFERS.get(int(frame.color_trc))
    return [f"its colors are HDR ({name}) and are not tone-mapped: frames look pale"] if name else []
