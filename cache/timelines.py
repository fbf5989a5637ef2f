"""What a video shows at each requested time, joined from its segments in all shards."""

from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC, CacheIdentity, Segment, Status, request_seconds


@dataclass(frozen=True)
class VideoTimeline:
    """The frame that one video shows at each requested time with status ok, sorted by time.

    k: (m,) int64; t_sec: (m,) float64 times as in shown_seconds(); frame_sec: (m,) float64 times of the frames shown;
    unit: (m,) names of the shards; row: (m,) int64 rows in those shards; views: (1+K, 6) int32.
    """

    video_uid: str
    views: np.ndarray
    k: np.ndarray
    t_sec: np.ndarray
    frame_sec: np.ndarray
    unit: np.ndarray
    row: np.ndarray

    def window(self, start_sec: float, end_sec: float) -> slice:
        """The requests with start_sec <= t_sec < end_sec, to TIME_TOLERANCE_SEC."""
        first, last = np.searchsorted(
            self.t_sec, (start_sec - TIME_TOLERANCE_SEC, end_sec - TIME_TOLERANCE_SEC), side="left"
        )
        return slice(int(first), int(last))


def shown_seconds(segment: Segment, identity: CacheIdentity) -> np.ndarray:
    """(m,) float64 seconds: when each request of a segment counts as shown, which decides what clips it is in.

    The requested times; with sampling "snap" the own times of the frames that answer them.
    """
    t_sec = request_seconds(segment.request_k, segment.first_pts, segment.time_base, identity.fps)
    if identity.sampling == "snap":
        ok = segment.request_status == Status.OK
        t_sec[ok] = segment.t_sec[segment.request_row[ok]]
    return t_sec


def build_timeline(parts: list[tuple[str, int, Segment]], identity: CacheIdentity) -> VideoTimeline:
    """parts: (unit, first row in its shard, segment) of one video, in any order. identity: of the cache."""
    columns: dict[str, list] = {name: [] for name in ("k", "row", "t_sec", "frame_sec", "unit")}
    for unit, first_row, segment in parts:
        ok = segment.request_status == Status.OK
        rows = segment.request_row[ok]
        columns["k"].append(segment.request_k[ok])
        columns["row"].append(rows + first_row)
        columns["t_sec"].append(shown_seconds(segment, identity)[ok])
        columns["frame_sec"].append(segment.t_sec[rows])
        columns["unit"].append(np.full(len(rows), unit, dtype=object))
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    order = np.argsort(joined["k"], kind="stable")
    joined = {name: values[order] for name, values in joined.items()}
    segment = parts[0][2]
    return VideoTimeline(segment.video_uid, segment.views, **joined)
