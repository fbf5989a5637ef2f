"""Geometry of decoded frames: size, pixel aspect ratio and orientation of each frame."""

import re
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.ffmpeg_log import capture_log
from embedonce.pipeline.video.orientation import UPRIGHT, Orientation, orientation_of

SQUARE = Fraction(1)
MATRIX_NUMBERS = 9
MAX_UNKNOWN_KINDS = 32  # kinds of side data that PyAV does not know
_ASPECT = re.compile(r"\bsar:(\d+)/(\d+)")
_UNKNOWN_KIND = re.compile(r"(\d+) is not a valid Type")


@dataclass(frozen=True)
class Geometry:
    """size: decoded (height, width). coded_aspect: pixel aspect ratio (width / height) in the frame's own headers."""

    size: tuple[int, int]
    coded_aspect: Fraction
    orientation: Orientation

    def __str__(self) -> str:
        height, width = self.size
        aspect = "" if self.coded_aspect == 1 else f", pixels {self.coded_aspect.numerator}:"
        aspect += "" if self.coded_aspect == 1 else f"{self.coded_aspect.denominator}"
        return f"{width}x{height}{aspect}" + ("" if self.orientation == UPRIGHT else f", {self.orientation}")


def upright_size(size: tuple[int, int], aspect: Fraction, orientation: Orientation) -> tuple[float, float]:
    """(height, width) with square pixels, upright."""
    height, width = float(size[0]), float(size[1] * aspect)
    return (width, height) if orientation.swaps_sides else (height, width)


class Orientations:
    """Tracks the orientation of the frames of one stream; call it with every frame in display order.

    The container's display matrix comes with every frame. A matrix in the stream itself comes with some frames, mostly
    key frames, and applies until the next key frame.
    """

    def __init__(self):
        self.current, self.notes = UPRIGHT, []
        self._read = MatrixReader()
        self._matrix: tuple[int, ...] | None = None

    def __call__(self, frame: av.VideoFrame) -> Orientation:
        matrix = self._read(frame)
        if matrix is None and not frame.key_frame:
            return self.current
        if matrix != self._matrix:
            self._matrix = matrix
            self.current, note = (UPRIGHT, None) if matrix is None else orientation_of(matrix)
            if note and note not in self.notes:
                self.notes.append(note)
        return self.current


class MatrixReader:
    """Reads the nine numbers of a frame's display matrix, or None. Of several matrices the first counts, as in FFmpeg.

    PyAV raises an error on kinds of side data that it does not know: these are removed from the frame first.
    """

    def __init__(self):
        self._unknown: list[str] = []
        self._graph, self._shape = None, None

    def __call__(self, frame: av.VideoFrame) -> tuple[int, ...] | None:
        for _ in range(MAX_UNKNOWN_KINDS):
            try:
                stripped = self._stripped(frame)
                found = next((data for data in _side_data(stripped) if data.type == Type.DISPLAYMATRIX), None)
            except ValueError as error:
                kind = _UNKNOWN_KIND.search(str(error))
                if kind is None:
                    raise VideoError(f"the side data of its frames cannot be read ({error})") from error
                self._unknown.append(kind.group(1))
                continue
            numbers = () if found is None else np.frombuffer(bytes(found), np.int32)[:MATRIX_NUMBERS].tolist()
            return tuple(numbers) if len(numbers) == MATRIX_NUMBERS else None
        raise VideoError("the side data of its frames cannot be read")

    def _stripped(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self._unknown:
            return frame
        shape = (*_shape(frame), len(self._unknown))
        if shape != self._shape:
            deletions = [("sidedata", f"mode=delete:type={kind}") for kind in self._unknown]
            self._graph, self._shape = _graph(frame, deletions), shape
        self._graph.push(frame)
        return self._graph.pull()


class AspectReader:
    """Reads a frame's pixel aspect ratio. PyAV does not expose it; FFmpeg's showinfo filter prints it."""

    def __init__(self):
        self._graph, self._shape = None, None

    def __call__(self, frame: av.VideoFrame) -> Fraction | None:
        """Pixel aspect ratio (width / height), or None if the frame has none."""
        shape = _shape(frame)
        if shape != self._shape:
            steps = [("sidedata", "mode=delete"), ("showinfo", "checksum=0")]  # the log would contain it byte by byte
            self._graph, self._shape = _graph(frame, steps), shape
        with capture_log() as messages:
            self._graph.push(frame)
            self._graph.pull()
        found = next((found for _, _, text in messages if (found := _ASPECT.search(text))), None)
        if found is None:
            raise VideoError("its pixel aspect ratio cannot be read")
        width, height = (int(number) for number in found.groups())
        return Fraction(width, height) if width and height else None


def _side_data(frame: av.VideoFrame) -> list:
    """Not frame.side_data: the frame keeps that, which refers to it, so that only a garbage collection frees it."""
    return list(SideDataContainer(frame))  # type: ignore[call-arg]  # PyAV's stubs lack the parameter


def _shape(frame: av.VideoFrame) -> tuple:
    """The properties that a filter graph depends on."""
    return frame.width, frame.height, frame.format.name


def _graph(frame: av.VideoFrame, filters: list[tuple[str, str]]) -> av.filter.Graph:
    """A chain of filters, each (name, options)."""
    graph = av.filter.Graph()
    graph.threads = 1  # otherwise one per core
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    for step in (*(graph.add(*one) for one in filters), graph.add("buffersink")):
        last.link_to(step)
        last = step
    graph.configure()
    return graph
