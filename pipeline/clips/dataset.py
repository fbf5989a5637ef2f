"""Clips of a cache as tensors. What is drawn of them is decided in clips.sampling."""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.computed_logits import compute_logits
from embedonce.cache.labels import ClipLabel, LabelSet, multi_hot
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.clips.kept_crops import KeptCrops
from embedonce.pipeline.clips.sampling import ClipSampling, choose_frames, choose_jitter, choose_view
from embedonce.pipeline.clips.teacher_columns import TeacherColumns, item_name
from embedonce.pipeline.clips.text_targets import TextTargets
from embedonce.pipeline.clips.time_shift import moved_rows, reached_rows
from embedonce.pipeline.frames import canonical_frame

log = logging.getLogger(__name__)


class ClipDataset(Dataset):
    """The clips of a label set that have at least one frame in the cache; items are dicts of tensors.

    frames (T, 3, R, R) uint8 unless the resolution is 0; embeddings (T, D) float32; logits (T, C) float32 if the label
    set has soft logits; mask (T,) bool, False for padding; t_rel_sec (T,) float32, seconds since the clip's start,
    moved with its window; label, index int64; multi_hot (C,) bool if the label set has several labels per clip;
    with_texts: also what TextTargets.item() returns. With several teachers, `embeddings` are those of the first of
    them, and those of the others are added under the names of item_name(). Padding is zeros. `epoch` may be set between
    epochs; it selects frames, views and jitter; so may `uses_random_views`, without which all draws are of the
    evaluation crop. Index i + r N is the r-th further draw of clip i of N, with frames, view and jitter of its own.
    """

    def __init__(
        self,
        reader: CacheReader,
        labels: LabelSet,
        clips: list[ClipLabel],
        sampling: ClipSampling,
        with_texts: bool = False,
        teachers: tuple[str, ...] = (FIRST,),
    ):
        """teachers: names in the cache of those whose embeddings items have."""
        self.reader, self._labels, self.sampling = reader, labels, sampling
        self.teachers = TeacherColumns(reader, teachers)
        self.clips: list[ClipLabel] = []
        self._rows: list[range] = []  # of each clip: positions on its video's timeline
        self._head = reader.head(labels.name) if labels.computes_logits else None
        self.epoch, self.uses_random_views = 0, True
        self.kept: KeptCrops | None = None  # None: frames are decoded whenever they are read
        cached = set(reader.video_uids)
        for clip in clips:
            if clip.video_uid not in cached:
                continue
            window = reader.timeline(clip.video_uid).window(clip.start_sec, clip.end_sec)
            if window.stop > window.start:
                self.clips.append(clip)
                self._rows.append(range(window.start, window.stop))
        self.num_empty = len(clips) - len(self.clips)
        self.texts = TextTargets.of(reader, labels.name, self.clips) if with_texts else None
        reader.prepare_labels(labels)  # once, and not in every loader process

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self[index] for index in range(len(self)))

    @property
    def epoch_state(self) -> tuple[int, bool]:
        """What may change between epochs: `epoch` and `uses_random_views`."""
        return self.epoch, self.uses_random_views

    @epoch_state.setter
    def epoch_state(self, state: tuple[int, bool]) -> None:
        self.epoch, self.uses_random_views = state

    @property
    def shard_of_clip(self) -> np.ndarray:
        """(N,) names of the units in which clips begin."""
        first = (self.reader.timeline(c.video_uid).unit[r[0]] for c, r in zip(self.clips, self._rows, strict=True))
        return np.array(list(first), dtype=object)

    @property
    def label_array(self) -> np.ndarray:
        """(N,) int64 class indexes, -1 for unlabeled clips and for those with a list of labels."""
        return np.array([clip.label for clip in self.clips], np.int64)

    @property
    def labeled(self) -> np.ndarray:
        """(N,) bool: whether a clip has a label."""
        return np.array([bool(clip.all_labels) for clip in self.clips], bool)

    @property
    def frame_counts(self) -> np.ndarray:
        """(N,) int64 numbers of frames in items, without padding."""
        return np.array([min(self.sampling.frames_per_clip, len(rows)) for rows in self._rows], np.int64)

    @property
    def longest(self) -> int:
        """Number of cached frames of the longest clip."""
        return max(map(len, self._rows), default=0)

    def kept_crops(self, with_random_views: bool = True) -> KeptCrops:
        """Room for all crops that its items may ever need; not allocated yet, and not used before `kept` is set.

        with_random_views: False if no epoch will draw them.
        """
        sampling = self.sampling
        views = range(sampling.view, sampling.view + 1)
        if sampling.random and with_random_views:
            views = range(1 + (self.reader.identity.num_views if sampling.views is None else sampling.views))
        rows = [np.array(self._reached(number)) for number in range(len(self))]
        frames = rows if sampling.random else [choose_frames(one, sampling, 0, 0) for one in rows]
        uids = [clip.video_uid for clip in self.clips]
        return KeptCrops(zip(uids, frames, strict=True), views, sampling.resolution)

    def described_clips(self) -> Iterator[str]:
        """One line per clip, for fingerprints: its name, times, label, rows, first shard and, if wanted, text."""
        for i, (clip, rows, shard) in enumerate(zip(self.clips, self._rows, self.shard_of_clip, strict=True)):
            times = f"{clip.start_sec!r} {clip.end_sec!r}"
            label = clip.label if clip.labels is None else list(clip.labels)
            text = "" if self.texts is None else f" {self.texts.text_of(i)}"
            reached = self._reached(i)
            around = "" if reached == rows else f" {reached.start} {reached.stop}"
            yield f"{clip.video_uid} {clip.clip_id} {times} {label} {rows[0]} {len(rows)}{around} {shard}{text}"

    def prefetch(self, indexes: Iterable[int]) -> None:
        """Begin to read the shards of these clips, where the cache is far away."""
        self.reader.prefetch(self._units_of(indexes))  # which asks for units only if there is any use in it
        self.teachers.prefetch(lambda: self._units_of(indexes))

    def lacking(self) -> dict[str, list[str]]:
        """Teacher -> units of these clips that it has not embedded; without those that have embedded all."""
        return self.teachers.lacking(self._units_of(range(len(self))))

    def _units_of(self, indexes: Iterable[int]) -> Iterator[str]:
        """The units that these clips have rows in, each once, in the order in which they are read."""
        seen: set[str] = set()
        for index in indexes:
            clip, rows = self.clips[index % len(self)], self._reached(index % len(self))
            units = dict.fromkeys(self.reader.timeline(clip.video_uid).unit[rows.start : rows.stop])
            yield from (unit for unit in units if unit not in seen)
            seen |= units.keys()

    @property
    def num_movable(self) -> int:
        """The number of clips whose window can be moved: the others have no cached frames next to it."""
        return sum(len(self._reached(number)) > len(rows) for number, rows in enumerate(self._rows))

    def _reached(self, number: int) -> range:
        """The rows that frames of a clip may be taken from in any epoch."""
        clip, share = self.clips[number], self.sampling.largest_shift
        return reached_rows(self.reader.timeline(clip.video_uid), clip, share) if share else self._rows[number]

    def _moved(self, number: int, index: int) -> range:
        """The rows that frames of a clip are taken from in this epoch."""
        clip, share = self.clips[number], self.sampling.largest_shift
        place = (self.sampling.seed, self.epoch, index)
        return moved_rows(self.reader.timeline(clip.video_uid), clip, share, place) if share else self._rows[number]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number, sampling = index % len(self), self.sampling
        clip = self.clips[number]
        timeline = self.reader.timeline(clip.video_uid)
        rows = self._moved(number, index)
        at = choose_frames(np.array(rows), sampling, self.epoch, index)
        num_views = len(timeline.views) if sampling.views is None else 1 + sampling.views
        num_views = num_views if self.uses_random_views else 1
        view = choose_view(num_views, sampling, self.epoch, index)
        images = self._images(clip.video_uid, at, view) if sampling.resolution else None
        embeddings, logits = self._read(timeline, at, view)
        main, *added = self.teachers.names
        length = sampling.frames_per_clip
        shift_sec = timeline.t_sec[rows[0]] - timeline.t_sec[self._rows[number][0]]
        item = {
            "embeddings": _padded(embeddings[main].astype(np.float32), length),
            "mask": _padded(np.ones(len(at), bool), length),
            "t_rel_sec": _padded((timeline.t_sec[at] - clip.start_sec - shift_sec).astype(np.float32), length),
            "label": torch.tensor(clip.label),
            "index": torch.tensor(index),
        }
        if images is not None:
            if sampling.jitter and sampling.random:
                images = canonical_frame.jittered(images, *choose_jitter(sampling, self.epoch, index))
            item["frames"] = _padded(images.transpose(0, 3, 1, 2), length)
        if clip.labels is not None:
            item["multi_hot"] = torch.from_numpy(multi_hot([clip.labels], len(self._labels.classes))[0])
        if self.texts is not None:
            item |= {name: torch.from_numpy(values) for name, values in self.texts.item(number).items()}
        item |= {item_name(name): _padded(embeddings[name].astype(np.float32), length) for name in added}
        return item if logits is None else item | {"logits": _padded(logits, length)}

    def _images(self, uid: str, at: np.ndarray, view: int) -> np.ndarray:
        """Crops (T, R, R, 3) uint8 of frames of a video, in one view."""
        timeline = self.reader.timeline(uid)
        side, short_side = self.sampling.resolution, self.reader.identity.canonical_short_side

        def decode(position: int) -> np.ndarray:
            jpeg = self.reader.frames(timeline.unit[position]).jpeg(int(timeline.row[position]))
            return canonical_frame.load_view(jpeg, timeline.views[view], side, short_side)

        if self.kept is None:
            return np.stack([decode(position) for position in at.tolist()])
        return self.kept.read(uid, at, view, decode)

    def _read(self, timeline, at: np.ndarray, view: int) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Embeddings (T, D) by teacher, and logits (T, C) if the label set has them, of one view."""
        needed = dict.fromkeys((*self.teachers.names, *([] if self._head is None else [FIRST])))
        logits = []
        embeddings: dict[str, list[np.ndarray]] = {name: [] for name in needed}
        for unit, row in zip(timeline.unit[at], timeline.row[at].tolist(), strict=True):
            for name, vectors in embeddings.items():
                vectors.append(self.teachers.column(name, unit).embeddings(row, row + 1, view)[0])
            if self._labels.has_logits and self._labels.stores_logits:
                logits.append(self.reader.logits(self._labels.name, unit).logits(row, row + 1, view)[0])
        stacked = {name: np.stack(vectors) for name, vectors in embeddings.items()}
        if self._head is not None:
            return stacked, compute_logits(self._head, stacked[FIRST], f"frames of {self.reader.cache_dir}")
        return stacked, np.stack(logits) if logits else None


def _padded(values: np.ndarray, length: int) -> torch.Tensor:
    padding = np.zeros((length - len(values), *values.shape[1:]), values.dtype)
    return torch.from_numpy(np.concatenate([values, padding]))
