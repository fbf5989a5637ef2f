"""Clips of a cache as data sets of torch: map-style, and iterable in parts for loader processes and ranks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor, distributed
from torch.utils.data import IterableDataset, get_worker_info

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.limits import MAX_FRAMES_PER_CLIP, MAX_STORED_PIXELS
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.api.contents import clips_of
from embedonce.pipeline.api.embeddings import check_view
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling, epoch_order

READ_AHEAD = 32  # clips whose shards are requested together, where the cache is far away


@dataclass(frozen=True)
class Choice:
    """Which clips, and what of them; see Cache.torch_dataset()."""

    label_set: str | None
    split: str | None
    view: int
    frames: int
    resolution: int | None
    random: bool
    seed: int
    teacher: str | None

    def __post_init__(self) -> None:
        _check_count("frames", self.frames, MAX_FRAMES_PER_CLIP)
        if self.resolution is not None:
            _check_count("resolution", self.resolution, int(MAX_STORED_PIXELS**0.5))
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"seed must be a whole number, 0 or more, got {self.seed!r}")
        if self.random and self.view:
            raise ValueError(f"random=True draws the views: leave out view={self.view}")

    @property
    def sampling(self) -> ClipSampling:
        return ClipSampling(self.frames, self.resolution or 0, self.random, self.seed, view=self.view)


def _check_count(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")


def clip_dataset(reader: CacheReader, choice: Choice) -> ClipDataset:
    """The chosen clips that have frames. ValueError if there are none, LabelSetError, TeacherError."""
    check_view(reader, choice.view)
    labels = reader.label_set(choice.label_set)
    teacher = FIRST if choice.teacher is None else choice.teacher
    clips = clips_of(labels, choice.split)
    dataset = ClipDataset(reader, labels, clips, choice.sampling, teachers=(teacher,))
    if not len(dataset):
        raise ValueError(f"none of the {len(clips)} clips of label set {labels.name!r} has frames in this cache")
    return dataset


class ClipStream(IterableDataset):
    """The items of a ClipDataset in parts, shard by shard: each clip in one loader process of one rank.

    Ranks, and the loader processes of each, have equally many clips, but for one more. shuffle: in another order in
    each epoch, of which `epoch` is the number. len(): the clips of this rank.
    """

    def __init__(self, dataset: ClipDataset, shuffle: bool):
        self.dataset, self.shuffle = dataset, shuffle
        self._rank_and_size = (0, 1)  # of the process that this one was sent from

    @property
    def epoch(self) -> int:
        """The epoch, from 0: set it before each one. Loader processes that persist keep the one they began with."""
        return self.dataset.epoch

    @epoch.setter
    def epoch(self, number: int) -> None:
        self.dataset.epoch = number

    def __getstate__(self) -> dict[str, object]:
        """With the rank: spawned loader processes do not belong to the group."""
        return self.__dict__ | {"_rank_and_size": self._place()}

    def __len__(self) -> int:
        return len(_part(np.arange(len(self.dataset)), *self._place()))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        indexes = _part(self._order(), *self._place())
        worker = get_worker_info()
        if worker is not None:
            indexes = _part(indexes, worker.id, worker.num_workers)
        for start in range(0, len(indexes), READ_AHEAD):
            batch = indexes[start : start + READ_AHEAD].tolist()
            self.dataset.prefetch(batch)
            yield from (self.dataset[index] for index in batch)

    def _order(self) -> np.ndarray:
        """(N,) the indexes of all clips, those that begin in the same shard next to each other."""
        shards = self.dataset.shard_of_clip
        if self.shuffle:
            return epoch_order(shards, self.dataset.sampling.seed, self.epoch)
        return np.argsort(shards.astype(str), kind="stable")

    def _place(self) -> tuple[int, int]:
        """The rank of this process and the number of ranks."""
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return self._rank_and_size


def _part(indexes: np.ndarray, number: int, count: int) -> np.ndarray:
    """The part of this number, from 0, of count parts of equal size."""
    return np.array_split(indexes, count)[number]
