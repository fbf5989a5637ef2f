"""The plan: which frames were requested, cut into fixed units of work."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

MAX_PARTS = 1_000_000  # files of parts are named by six digits


@dataclass(frozen=True)
class PlannedSegment:
    """The part of one video that one unit holds.

    frame_index, pts: (n,) int64, the distinct frames to store, in time order. request_k, request_row: (m,) int64, the
    requests, and the row (0..n-1) that answers each, or NO_FRAME, REDACTED or LOST.
    """

    video_uid: str
    frame_index: np.ndarray
    pts: np.ndarray
    request_k: np.ndarray
    request_row: np.ndarray


@dataclass(frozen=True)
class Unit:
    """A fixed piece of work. One unit is one shard of the same name, whoever works on it and however often."""

    name: str
    segments: tuple[PlannedSegment, ...]


@dataclass(frozen=True)
class PlannedVideo:
    """What is known of one video since it was planned. Sizes in pixels."""

    uid: str
    source: str  # path relative to the data folder
    num_bytes: int
    modified_ns: int
    codec: str
    decoded_size: tuple[int, int]  # (height, width) as stored in the stream; of the left half if left_eye
    rotation: int  # degrees clockwise that turn the first frame upright: 0, 90, 180 or 270
    canonical_size: tuple[int, int]  # (height, width)
    time_base: tuple[int, int]  # seconds per tick, as a fraction
    first_pts: int
    num_frames: int
    end_sec: float
    by_order: bool  # pts do not tell frames apart, so frames are identified by their order
    views: np.ndarray  # (1+K, 6) int32, VIEW_FIELDS; row 0 is the evaluation crop
    notes: tuple[str, ...] = ()
    left_eye: bool = False  # frames hold two eyes side by side; only the left one is used
    mirrored: bool = False  # the first frame is mirrored left to right after rotation
    sample_aspect: tuple[int, int] = (1, 1)  # width over height of a pixel as a fraction, as applied
    coded_aspect: tuple[int, int] = (1, 1)  # the same, as the first frame states it
    fingerprint: str = ""  # of the file's content, 64 hexadecimal digits; empty if unknown
    replaces: str = ""  # uid of the video that had this one's path before, with other content; empty if none
    num_requests: int = 0  # requested times in all its units together; 0 if unknown


@dataclass(frozen=True)
class PlanPart:
    """One extension of the plan: new videos and the units that hold their requests.

    continued: uids of videos of other parts that have units in this part.
    """

    part: int
    videos: tuple[PlannedVideo, ...]
    units: tuple[Unit, ...]
    continued: tuple[str, ...] = ()


class PlanIndex:
    """The videos and units of a growing plan by name. Adding a part takes time proportional to that part.

    videos: uid -> PlannedVideo; units: name -> Unit; part_of: unit name -> number of its part. All in order.
    """

    def __init__(self, parts: Iterable[PlanPart] = ()):
        self.videos: dict[str, PlannedVideo] = {}
        self.units: dict[str, Unit] = {}
        self.part_of: dict[str, int] = {}
        self._num_requests: Counter[str] = Counter()
        self._last_number = -1
        for part in parts:
            self.add(part)

    def add(self, part: PlanPart) -> None:
        """Add a part. ValueError if one of its units is in another part."""
        self.videos |= {video.uid: video for video in part.videos}
        for unit in part.units:
            if unit.name in self.units:
                raise ValueError(f"unit {unit.name} is planned twice")
            self.units[unit.name], self.part_of[unit.name] = unit, part.part
            self._last_number = max(self._last_number, int(unit.name))
            for segment in unit.segments:
                self._num_requests[segment.video_uid] += len(segment.request_k)

    @property
    def next_number(self) -> int:
        """The number of the next unit to be planned: above all existing ones."""
        return self._last_number + 1

    def incomplete_uids(self) -> frozenset[str]:
        """Videos with fewer requests in the plan than when they were planned: a rebuilt plan lost the others."""
        return frozenset(uid for uid, video in self.videos.items() if self._num_requests[uid] < video.num_requests)


def newest_uids(plan: list[PlanPart]) -> dict[str, str]:
    """uid of each replaced video -> uid of the video that has its path now."""
    newer = {video.replaces: video.uid for part in plan for video in part.videos if video.replaces}
    last: dict[str, str] = {}
    return {uid: _follow(uid, newer, last) for uid in newer}


def _follow(uid: str, newer: dict[str, str], last: dict[str, str]) -> str:
    """The last uid of a chain of replacements. last: known results, which are extended."""
    seen: dict[str, None] = {}
    while uid in newer and uid not in seen and uid not in last:
        seen[uid] = None
        uid = newer[uid]
    uid = last.get(uid, uid)
    last |= dict.fromkeys(seen, uid)
    return uid


def unit_name(number: int) -> str:
    return f"{number:06d}"


def cut_units(segments: list[PlannedSegment], shard_frames: int, first_number: int) -> tuple[Unit, ...]:
    """Cut the requests of videos into units of at most shard_frames rows, in order.

    A long video fills units of its own; its remainder and short videos share units. Requests that show the same frame
    stay together, so that each frame is a row of exactly one unit. Videos that show nothing share units as if each had
    one row.
    """
    units: list[list[PlannedSegment]] = []
    room = 0
    for segment in segments:
        for piece in _pieces(segment, shard_frames):
            rows = max(len(piece.frame_index), 1)
            if not units or rows > room:
                units.append([])
                room = shard_frames
            units[-1].append(piece)
            room -= rows
    return tuple(Unit(unit_name(first_number + i), tuple(pieces)) for i, pieces in enumerate(units))


def _pieces(segment: PlannedSegment, shard_frames: int):
    rows = len(segment.frame_index)
    starts = list(range(0, max(rows, 1), shard_frames))
    # Times that show nothing (row -1) are before the first frame or after the last: they go to the first or last piece.
    shown = np.flatnonzero(segment.request_row >= 0)
    cuts = [int(shown[np.searchsorted(segment.request_row[shown], start)]) for start in starts[1:]]
    request_bounds = [0, *cuts, len(segment.request_k)]
    for i, start in enumerate(starts):
        stop = min(start + shard_frames, rows)
        requests = slice(request_bounds[i], request_bounds[i + 1])
        row = segment.request_row[requests]
        yield dataclasses.replace(
            segment,
            frame_index=segment.frame_index[start:stop],
            pts=segment.pts[start:stop],
            request_k=segment.request_k[requests],
            request_row=np.where(row >= 0, row - start, row),
        )
