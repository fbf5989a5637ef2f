"""Requested times of a video that have no frame, in runs of the same reason. Reads documents only."""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import ClipLabel
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC, Status
from embedonce.cache.timelines import shown_seconds


@dataclass(frozen=True)
class Gap:
    """Successive requested times of one video that have no frame for the same reason: seconds of the first and last."""

    status: Status
    count: int
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Requests:
    """All requests of one video, in order: (m,) float64 seconds and (m,) statuses."""

    t_sec: np.ndarray
    status: np.ndarray

    @property
    def everywhere(self) -> np.ndarray:
        """(m,) bool, all true."""
        return np.ones(len(self.t_sec), bool)

    def within(self, clip: ClipLabel) -> np.ndarray:
        """(m,) bool: which requests lie in a clip."""
        t_sec = self.t_sec + TIME_TOLERANCE_SEC
        return (t_sec >= clip.start_sec) & (t_sec < clip.end_sec)


def requests_of(reader: CacheReader, uid: str) -> Requests:
    """The requests of a video, from all its segments. KeyError if the cache has none."""
    parts = [segment for _, _, segment in reader.segments_of(uid)]
    order = np.argsort(np.concatenate([segment.request_k for segment in parts]), kind="stable")
    t_sec = np.concatenate([shown_seconds(segment, reader.identity) for segment in parts])
    return Requests(t_sec[order], np.concatenate([segment.request_status for segment in parts])[order])


def gaps(requests: Requests, chosen: np.ndarray) -> list[Gap]:
    """The gaps among the chosen requests, (m,) bool, in order of time."""
    status = np.where(chosen, requests.status, Status.OK)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(status)) + 1])
    return [
        Gap(Status(status[start]), int(stop - start), float(requests.t_sec[start]), float(requests.t_sec[stop - 1]))
        for start, stop in zip(starts, [*starts[1:], len(status)], strict=True)
        if len(status) and status[start] != Status.OK
    ]
