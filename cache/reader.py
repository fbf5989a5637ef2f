"""Reading a cache: the timelines of its videos, and random access to verified shards.

Knows records and shards; of the plan only who was asked for, for the rest is the writer's business.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import ShardShape
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError, LabelSetError, some
from embedonce.cache.files import list_folder, read_file, refuse_links
from embedonce.cache.labels import ClipLabel, LabelSet, clip_from, label_set_from, tensors_from
from embedonce.cache.layout import Layout
from embedonce.cache.limits import brief
from embedonce.cache.plan import PlanPart
from embedonce.cache.records import Record, read_records
from embedonce.cache.schema import UID_PATTERN, CacheIdentity, FrameBatch, Segment, Status
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.timelines import VideoTimeline, build_timeline

MAX_OPEN = 64  # files of shards at a time


class CacheReader:
    """Read access to one cache. May be pickled; opens shards on first use and verifies each once a process."""

    def __init__(self, directory: Path, identity: CacheIdentity, records: dict[str, Record] | None = None):
        """records: those to trust in place of all that are there."""
        self.directory = Path(directory)
        self.identity = identity
        self._layout = Layout(self.directory)
        self._format = BACKENDS[identity.backend]
        self._store = LocalStore(self.directory)
        refuse_links(self._layout.folders)
        self.records = read_records(self._layout.columns(None)[1]) if records is None else records
        self._shards: dict = {}  # every one that was verified
        self._recent: dict = {}  # keys of those that may be open, the last used last
        self._label_records: dict[str, dict[str, Record]] = {}
        self._widths: dict[str | None, int] = {None: identity.teacher.embed_dim}
        self._timelines: dict[str, VideoTimeline] = {}

    def __getstate__(self):
        return {**self.__dict__, "_shards": {}, "_recent": {}}

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

    def plan(self) -> list[PlanPart]:
        """All parts of the plan, in order, whether or not anything of them is committed."""
        return documents.read_plan(self._layout.plan)

    def planned_uids(self) -> tuple[str, ...]:
        """The videos that the plan has by the uids of their places: not those that took the place of others."""
        return tuple(video.uid for part in self.plan() for video in part.videos if not video.replaces)

    def quarantined(self) -> dict[str, dict]:
        """name -> facts of every quarantined video."""
        return documents.read_named(self._layout.quarantine)

    def shows(self, clip: ClipLabel) -> bool:
        """Whether a clip has at least one frame in the cache."""
        if clip.video_uid not in self._segments:
            return False
        window = self.timeline(clip.video_uid).window(clip.start_sec, clip.end_sec)
        return window.stop > window.start

    def segments_of(self, video_uid: str) -> list[tuple[str, int, Segment]]:
        """(unit, first row in its shard, segment) of one video; KeyError where the cache holds nothing of it."""
        return self._segments[video_uid]

    def content_of(self, video_uid: str) -> str | None:
        """The fingerprint of the file that a video's rows came from; None where nothing of it is there or known."""
        parts = self._segments.get(video_uid)
        return parts[0][2].fingerprint or None if parts else None

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
            self._timelines[video_uid] = build_timeline(self._segments[video_uid], self.identity.fps)
        return self._timelines[video_uid]

    def views_of(self, unit: str, row: int) -> np.ndarray:
        """(1+K, 6) int32: the views of the video whose row this is."""
        ends = np.cumsum([segment.num_rows for segment in self.records[unit].segments])
        return self.records[unit].segments[int(np.searchsorted(ends, row, side="right"))].views

    def frames(self, unit: str):
        """The FrameShard of a unit. DamagedError where its bytes differ from its record."""
        return self._shard(None, unit, self.records)

    def logits(self, label_set: str, unit: str):
        """The LogitsShard of a unit. DamagedError where it is absent or its bytes differ from its record."""
        return self._shard(label_set, unit, self.label_records(label_set))

    def batch(self, unit: str) -> FrameBatch:
        """All that a unit holds, whole in memory. DamagedError as in frames()."""
        record, embeddings = self.records[unit], self.all_embeddings(unit)
        if not record.num_rows:
            return FrameBatch(record.segments, (), embeddings, np.zeros(embeddings.shape[:2], np.uint32))
        shard = self.frames(unit)
        jpegs = tuple(shard.jpeg(row) for row in range(record.num_rows))
        crop_crc32 = shard.columns()["crop_crc32"]
        with documents.as_damaged_error(f"the shard of unit {unit}"):
            return FrameBatch(record.segments, jpegs, embeddings, crop_crc32)

    def all_embeddings(self, unit: str) -> np.ndarray:
        """(N, 1+K, D) float16 of one unit, all that is read of its shard once that is verified."""
        rows, views = self.records[unit].num_rows, 1 + self.identity.num_views
        if not rows:
            return np.zeros((0, views, self.identity.teacher.embed_dim), np.float16)
        shard = self.frames(unit)
        return np.stack([shard.embeddings(0, rows, view) for view in range(views)], axis=1)

    def all_logits(self, label_set: str, unit: str) -> np.ndarray:
        """(N, 1+K, C) float32 of one unit."""
        rows, views = self.records[unit].num_rows, 1 + self.identity.num_views
        if not rows:
            return np.zeros((0, views, self._width(label_set)), np.float32)
        shard = self.logits(label_set, unit)
        return np.stack([shard.logits(0, rows, view) for view in range(views)], axis=1)

    def logits_units(self, label_set: str) -> frozenset[str]:
        """Units whose logits are committed in this label set."""
        return frozenset(self.label_records(label_set))

    def label_sets(self) -> tuple[str, ...]:
        return self._layout.label_sets()

    def label_set(self, name: str | None = None) -> LabelSet:
        """The label set of this name, or the only one. LabelSetError where that is not to be had."""
        name = self._named(name)
        clips = tuple(clip for part in self.clip_parts(name).values() for clip in part)
        path = self._layout.labels / name / "label_set.json"
        document = documents.read(path)
        with documents.as_damaged_error(str(path)):
            labels = label_set_from(document, clips)
        if labels.name != name:
            raise DamagedError(f"{path} speaks of label set {labels.name!r}: it was renamed or copied")
        return labels

    def clip_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """The clips of a label set by the part of the plan that has their videos, as its last revision has them."""
        folder, parts = self._layout.labels / name / "clips", {}
        refuse_links((folder.parent, folder))
        for path in list_folder(folder, ".json"):
            document = documents.read(path)
            with documents.as_damaged_error(str(path)):
                parts[int(path.stem)] = tuple(clip_from(clip) for clip in documents.parse_list(document["clips"]))
                if _numbered(document["part"]) != path.stem:
                    raise ValueError(f"it speaks of part {brief(document['part'])}")
        return parts | self._revised_parts(name)

    def _revised_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """The parts of a label set's last revision; none where it was never revised."""
        folder = self._layout.labels / name / "revisions"
        refuse_links((folder,))
        paths = list_folder(folder, ".json")
        if not paths:
            return {}
        document = documents.read(paths[-1])
        with documents.as_damaged_error(str(paths[-1])):
            if _numbered(document["revision"]) != paths[-1].stem:
                raise ValueError(f"it speaks of revision {brief(document['revision'])}")
            listed = [documents.parse_list(part) for part in documents.parse_list(document["parts"])]
            return {part: tuple(clip_from(clip) for clip in clips) for part, clips in enumerate(listed)}

    def label_tensors(self, name: str) -> bytes | None:
        """The safetensors bytes of a label set's head or class-text matrix; None where it has none.

        DamagedError where they are not those that the label set was made with.
        """
        folder = self._layout.labels / self._named(name)
        refuse_links((folder,))
        expected = documents.read(folder / "label_set.json").get("tensors_sha256")
        if expected is None:
            return None
        data = read_file(folder / "tensors.safetensors")
        if sha256(data) != expected:
            raise DamagedError(f"{folder / 'tensors.safetensors'} is damaged: its SHA-256 is not that of the label set")
        return data

    def head(self, name: str) -> dict[str, np.ndarray] | None:
        """What logits_from() makes a label set's logits from; None where it has nothing.

        DamagedError where that is no head from embeddings to the classes.
        """
        data, labels = self.label_tensors(name), self.label_set(name)
        if data is None:
            return None
        with documents.as_damaged_error(str(self._layout.labels / labels.name / "tensors.safetensors")):
            return tensors_from(data, self.identity.teacher.embed_dim, len(labels.classes))

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        self._recent.clear()

    def _named(self, name: str | None) -> str:
        if name is not None and UID_PATTERN.fullmatch(name) and self._layout.has_label_set(name):
            return name
        names = self.label_sets()
        if name is None and len(names) == 1:
            return names[0]
        if name in names:
            return name
        offered = ", ".join(names) or "none"
        asked = "several label sets and none was named" if name is None and names else f"no label set {name!r}"
        if not names:
            asked = "no label set yet; finish extract-teacher first"
        raise LabelSetError(f"{self.directory} has {asked} (--label-set: {offered})")

    def label_records(self, label_set: str) -> dict[str, Record]:
        """The records of a label set's logits by unit."""
        if label_set not in self._label_records:
            folders = self._layout.columns(label_set)
            refuse_links((folders[0].parent, *folders))
            self._label_records[label_set] = read_records(folders[1])
        return self._label_records[label_set]

    def trust(self, label_set: str, records: dict[str, Record]) -> None:
        """Use these records of a label set's logits in place of all that are there."""
        self._label_records[label_set] = records

    def _shard(self, label_set: str | None, unit: str, records: dict[str, Record]):
        key = (label_set, unit)
        if key not in self._shards:
            column = "frames" if label_set is None else f"label set {label_set!r}"
            if unit not in records or unit not in self.records:
                raise DamagedError(
                    f"{self.directory}: {column} has no record of unit {unit}; run extract-teacher again"
                )
            record, frames = records[unit], self.records[unit]
            name = self._layout.shard_name(label_set, unit, self._format.suffix)
            try:
                self._shards[key] = self._opened(name, record, frames, self._width(label_set))
            except DamagedError as error:
                raise DamagedError(f"shard {error}; it holds the videos {some(frames.video_uids, 5)}") from error
        self._recent[key] = self._recent.pop(key, None)
        if len(self._recent) > MAX_OPEN:
            self._shards[next(iter(self._recent))].close()  # it opens again when it is read again
            del self._recent[next(iter(self._recent))]
        return self._shards[key]

    def _opened(self, name: str, record: Record, frames: Record, width: int):
        """A shard whose bytes, shape and keys are those that were committed."""
        location = self._store.location(name)
        num_bytes, found = self._store.digest(name)
        if num_bytes != record.num_bytes:
            raise DamagedError(f"{location} has {num_bytes} bytes, not the {record.num_bytes} that were committed")
        if found != record.sha256:
            raise DamagedError(f"{location} is damaged: its SHA-256 is not the one that was committed")
        keys, views = frames.keys, 1 + self.identity.num_views
        if not record.num_rows == frames.num_rows == len(keys):
            raise DamagedError(f"{location} has {record.num_rows} rows for {len(keys)} frames")
        if any(len(segment.views) != views for segment in frames.segments) or len(keys) * views * width > num_bytes:
            raise DamagedError(f"{location} cannot hold {views} views of {len(keys)} rows, {width} numbers each")
        shape = ShardShape(record.num_rows, views, width, num_bytes)
        shard = self._format.open(self._store, name, record.index, shape)
        shard.check(keys)
        return shard

    def _width(self, label_set: str | None) -> int:
        """D or C: how many values a row of this column has."""
        if label_set not in self._widths:
            self._widths[label_set] = len(self.label_set(label_set).classes)
        return self._widths[label_set]


def _numbered(number) -> str | None:
    """The name of the file of this number; None where it is none."""
    return f"{number:06d}" if type(number) is int else None
