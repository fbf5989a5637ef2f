"""Reading a cache: the timelines of its videos, and random access to verified shards.

Knows records and shards; never the plan, which is the writer's business.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cache import commit, documents
from cache.errors import DamagedError, LabelSetError, StorageError
from cache.labels import ClipLabel, LabelSet, label_set_from
from cache.layout import BACKENDS, Layout
from cache.records import Record, read_records
from cache.schema import CacheIdentity, Status, request_seconds


@dataclass(frozen=True)
class VideoTimeline:
    """What is shown in one video at each requested time that came out well, sorted by time.

    k, row: (m,) int64; t_sec: (m,) float64 requested times; frame_sec: (m,) float64 times of the frames shown;
    unit: (m,) names of the shards; row counts within the shard. views: (1+K, 6) int32.
    """

    video_uid: str
    views: np.ndarray
    k: np.ndarray
    t_sec: np.ndarray
    frame_sec: np.ndarray
    unit: np.ndarray
    row: np.ndarray

    def window(self, start_sec: float, end_sec: float) -> slice:
        """The requests with start_sec <= t < end_sec."""
        first, last = np.searchsorted(self.t_sec, (start_sec, end_sec), side="left")
        return slice(int(first), int(last))


class CacheReader:
    """Read access to one cache. May be pickled; opens shards on first use and verifies each once a process."""

    def __init__(self, directory: Path, identity: CacheIdentity):
        self.directory = Path(directory)
        self.identity = identity
        self._layout = Layout(self.directory)
        self._backend = BACKENDS[identity.backend]
        self.records: dict[str, Record] = read_records(self._layout.columns(None)[1])
        self._shards: dict = {}
        self._label_records: dict[str, dict[str, Record]] = {}
        self._timelines: dict[str, VideoTimeline] = {}

    def __getstate__(self):
        return {**self.__dict__, "_shards": {}}

    @cached_property
    def _segments(self) -> dict[str, list]:
        """video uid -> (unit, first row in the shard, Segment), in the order of units."""
        found: dict[str, list] = {}
        for unit, record in sorted(self.records.items()):
            first_row = 0
            for segment in record.segments:
                found.setdefault(segment.video_uid, []).append((unit, first_row, segment))
                first_row += segment.num_rows
        return found

    @property
    def video_uids(self) -> tuple[str, ...]:
        return tuple(self._segments)

    @property
    def num_rows(self) -> int:
        return sum(record.num_rows for record in self.records.values())

    def count_statuses(self) -> dict[str, int]:
        """How many requested times ended in which status, by its lower-case name."""
        codes = [segment.request_status for record in self.records.values() for segment in record.segments]
        counts = np.bincount(np.concatenate([*codes, np.zeros(0, np.uint8)]), minlength=len(Status))
        return {status.name.lower(): int(counts[status]) for status in Status}

    def timeline(self, video_uid: str) -> VideoTimeline:
        """KeyError where the cache holds nothing of this video."""
        if video_uid not in self._timelines:
            self._timelines[video_uid] = self._build_timeline(video_uid)
        return self._timelines[video_uid]

    def _build_timeline(self, video_uid: str) -> VideoTimeline:
        parts = self._segments[video_uid]
        columns: dict[str, list] = {name: [] for name in ("k", "row", "frame_sec", "unit")}
        for unit, first_row, segment in parts:
            ok = segment.request_status == Status.OK
            rows = segment.request_row[ok]
            columns["k"].append(segment.request_k[ok])
            columns["row"].append(rows + first_row)
            columns["frame_sec"].append(segment.t_sec[rows])
            columns["unit"].append(np.full(len(rows), unit, dtype=object))
        joined = {name: np.concatenate(values) for name, values in columns.items()}
        order = np.argsort(joined["k"], kind="stable")
        joined = {name: values[order] for name, values in joined.items()}
        segment = parts[0][2]
        t_sec = request_seconds(joined["k"], segment.first_pts, segment.time_base, self.identity.fps)
        return VideoTimeline(video_uid, segment.views, t_sec=t_sec, **joined)

    def frames(self, unit: str):
        """The FrameShard of a unit. DamagedError where its bytes differ from its record."""
        return self._shard(None, unit, self.records)

    def logits(self, label_set: str, unit: str):
        """The LogitsShard of a unit. DamagedError where it is absent or its bytes differ from its record."""
        return self._shard(label_set, unit, self._records_of(label_set))

    def logits_units(self, label_set: str) -> frozenset[str]:
        """Units whose logits are committed in this label set."""
        return frozenset(self._records_of(label_set))

    def label_sets(self) -> tuple[str, ...]:
        folders = self._layout.labels.glob("*/label_set.json")
        return tuple(sorted(path.parent.name for path in folders))

    def label_set(self, name: str | None = None) -> LabelSet:
        """The label set of this name, or the only one. LabelSetError where that is not to be had."""
        names = self.label_sets()
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            offered = ", ".join(names) or "none"
            asked = "several label sets and none was named" if name is None and names else f"no label set {name!r}"
            if not names:
                asked = "no label set yet; finish extract-teacher first"
            raise LabelSetError(f"{self.directory} has {asked} (--label-set: {offered})")
        folder = self._layout.labels / name
        clips: list[ClipLabel] = []
        for path in sorted((folder / "clips").glob("*.json")):
            document = documents.parse(path.read_bytes(), str(path))
            with documents.reading(str(path)):
                clips += [ClipLabel(**clip) for clip in document["clips"]]
        path = folder / "label_set.json"
        document = documents.parse(path.read_bytes(), str(path))
        with documents.reading(str(path)):
            return label_set_from(document, tuple(clips))

    def label_tensors(self, name: str) -> bytes:
        """The safetensors bytes of a label set's head or class-text matrix."""
        return (self._layout.labels / name / "tensors.safetensors").read_bytes()

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()

    def _records_of(self, label_set: str) -> dict[str, Record]:
        if label_set not in self._label_records:
            self._label_records[label_set] = read_records(self._layout.columns(label_set)[1])
        return self._label_records[label_set]

    def _shard(self, label_set: str | None, unit: str, records: dict[str, Record]):
        key = (label_set, unit)
        if key not in self._shards:
            column = "frames" if label_set is None else f"label set {label_set!r}"
            if unit not in records:
                raise DamagedError(
                    f"{self.directory}: {column} has no record of unit {unit}; run extract-teacher again"
                )
            record = records[unit]
            path = self._layout.columns(label_set)[0] / f"{unit}{self._backend.suffix}"
            _verify(path, record, [segment.video_uid for segment in self.records[unit].segments])
            self._shards[key] = self._backend.open_shard(path, record.index)
        return self._shards[key]


def _verify(path: Path, record: Record, video_uids: list[str]) -> None:
    if path.is_symlink() or not path.is_file():
        problem = "is missing"
    else:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        if len(data) != record.num_bytes:
            problem = f"has {len(data)} bytes, not the {record.num_bytes} that were committed"
        elif commit.sha256(data) != record.sha256:
            problem = "is damaged: its SHA-256 is not the one that was committed"
        else:
            return
    raise DamagedError(f"shard {path} {problem}; it holds the videos {', '.join(video_uids[:5])}")
