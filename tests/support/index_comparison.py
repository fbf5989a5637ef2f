"""Scans of a video by its header where possible, and by all its packets: both must be the same in every field."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video import header_index, scanning
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.header_index import index_by_header
from embedonce.pipeline.video.timeline import Timeline
from tests.support.videos import timeline_of, write_video

FRAMES = 40
PNG = {"codec": "png", "pix_fmt": "rgb24", "b_frames": None}
INTRA_FILES = {
    "prores": ("v.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
    "dnxhd": (
        "v.mov",
        {"codec": "dnxhd", "pix_fmt": "yuv422p", "size": (128, 256), "options": {"profile": "dnxhr_lb"}},
    ),
    "jpeg2000": ("v.mp4", {"codec": "jpeg2000"}),
    "png": ("v.mov", {"codec": "png", "pix_fmt": "rgb24"}),
    "rawvideo": ("v.mov", {"codec": "rawvideo", "pix_fmt": "uyvy422"}),
    "v210": ("v.mov", {"codec": "v210", "pix_fmt": "yuv422p10le"}),
}


def write_intra(path: Path, **settings) -> Path:
    """A video of FRAMES frames that each stand for themselves."""
    return write_video(path, FRAMES, **(PNG | settings))


def is_same(a, b) -> bool:
    """Whether two values have the same types and contents, arrays and dataclasses included."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and not differences(a, b)
    return type(a) is type(b) and a == b


def differences(a, b) -> list[str]:
    """Names of the fields in which two dataclasses differ. The function find_holes cannot be compared."""
    names = [field.name for field in dataclasses.fields(a) if field.name != "find_holes"]
    return [name for name in names if not is_same(getattr(a, name), getattr(b, name))]


def scanned_both_ways(path: Path) -> tuple[Timeline | str, bool]:
    """(the Timeline, or the text of the VideoError; whether the header was enough).

    Asserts that all that comes of a scan is the same both ways: the Timeline, the index of packets, the requested
    frames and the plan of packets. No file is too small here.
    """
    used = []

    def watched(*arguments):
        index = yield from index_by_header(*arguments)
        used.append(index is not None)
        return index

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(header_index, "MIN_SAVING", 0.0)
        patch.setattr(scanning, "index_by_header", watched)
        by_header, is_by_header = _outcomes(path), used == [True] * 3
        assert is_by_header or True not in used
        patch.setattr(scanning, "index_by_header", lambda *_: iter(()))
        by_packets = _outcomes(path)
    for one, other in zip(by_header, by_packets, strict=True):
        assert is_same(one, other), (one, other)
    return by_header[0], is_by_header


def _outcomes(path: Path) -> list:
    """The Timeline, and the scans for a grid of times and of key frames, or the texts of their errors."""
    outcomes = []
    for scan in (timeline_of, partial(_scan, fps=5.0), partial(_scan, fps=None)):
        try:
            outcomes.append(scan(path))
        except (VideoError, ValueError) as error:
            outcomes.append(str(error))
    return outcomes


def _scan(path: Path, fps: float | None) -> Scan:
    *_, scan = scan_video(ScanTask("v", path, Grid(fps), "software"))
    assert scan is not None
    return scan
