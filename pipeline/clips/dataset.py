"""Clips of a cache as tensors: which rows, in which order, through which view. No teacher, no video.

The choice of frames, views and order is a pure function of seeds and counters; reading comes after it.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.frames import canonical_frame

log = logging.getLogger(__name__)

SHARDS_PER_WINDOW = 8  # shards whose clips are shuffled together: randomness against files open at once


@dataclass(frozen=True)
class ClipSampling:
    """How clips become fixed numbers of frames. random: a new draw every epoch; else the same centers always.

    jitter: how far brightness, contrast and saturation of the student's frames may go from 1, alike for a whole clip.
    views: how many of the stored random views are used; 0: the evaluation crop alone, None: all.
    """

    frames_per_clip: int
    resolution: int
    random: bool
    seed: int
    jitter: float = 0.0
    views: int | None = None


class ClipDataset(Dataset):
    """The clips of a label set that have at least one good frame; items are dicts of tensors.

    frames (T, 3, R, R) uint8; embeddings (T, D) float32; logits (T, C) float32 where the label set has them;
    mask (T,) bool; t_rel_sec (T,) float32 since the clip's start; label, index int64. Padding repeats zeros.
    """

    def __init__(self, reader: CacheReader, labels: LabelSet, clips: list[ClipLabel], sampling: ClipSampling):
        self.reader, self._labels, self.sampling = reader, labels, sampling
        self.clips: list[ClipLabel] = []
        self._rows: list[range] = []  # positions on the video's timeline, by clip: clips may share them all
        self.epoch = 0
        cached = set(reader.video_uids)
        for clip in clips:
            if clip.video_uid not in cached:
                continue
            window = reader.timeline(clip.video_uid).window(clip.start_sec, clip.end_sec)
            if window.stop > window.start:
                self.clips.append(clip)
                self._rows.append(range(window.start, window.stop))
        self.num_empty = len(clips) - len(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def shard_of_clip(self) -> np.ndarray:
        """(N,) the unit in which each clip begins."""
        first = (self.reader.timeline(c.video_uid).unit[r[0]] for c, r in zip(self.clips, self._rows, strict=True))
        return np.array(list(first), dtype=object)

    @property
    def label_array(self) -> np.ndarray:
        return np.array([clip.label for clip in self.clips], np.int64)

    @property
    def frame_counts(self) -> np.ndarray:
        """(N,) int64: how many frames each clip gives."""
        return np.array([min(self.sampling.frames_per_clip, len(rows)) for rows in self._rows], np.int64)

    @property
    def longest(self) -> int:
        """How many frames the longest clip has."""
        return max(map(len, self._rows), default=0)

    def described_clips(self) -> Iterator[str]:
        """A line for each clip: which it is, its label, its rows, and the shard in which it begins."""
        for clip, rows, shard in zip(self.clips, self._rows, self.shard_of_clip, strict=True):
            times = f"{clip.start_sec!r} {clip.end_sec!r}"
            yield f"{clip.video_uid} {clip.clip_id} {times} {clip.label} {rows[0]} {len(rows)} {shard}"

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        clip, sampling = self.clips[index], self.sampling
        timeline = self.reader.timeline(clip.video_uid)
        at = choose_frames(np.array(self._rows[index]), sampling, self.epoch, index)
        there = len(timeline.views) if sampling.views is None else 1 + sampling.views
        view = choose_view(there, sampling, self.epoch, index)
        frames, embeddings, logits = [], [], []
        for unit, row in zip(timeline.unit[at], timeline.row[at], strict=True):
            shard, row = self.reader.frames(unit), int(row)
            side = self.reader.identity.canonical_short_side
            frames.append(canonical_frame.load_view(shard.jpeg(row), timeline.views[view], sampling.resolution, side))
            embeddings.append(shard.embeddings(row, row + 1, view)[0])
            if self._labels.has_logits:
                logits.append(self.reader.logits(self._labels.name, unit).logits(row, row + 1, view)[0])
        length, images = sampling.frames_per_clip, np.stack(frames)
        if sampling.jitter and sampling.random:
            images = canonical_frame.jittered(images, *choose_jitter(sampling, self.epoch, index))
        item = {
            "frames": _padded(images.transpose(0, 3, 1, 2), length),
            "embeddings": _padded(np.stack(embeddings).astype(np.float32), length),
            "mask": _padded(np.ones(len(at), bool), length),
            "t_rel_sec": _padded((timeline.t_sec[at] - clip.start_sec).astype(np.float32), length),
            "label": torch.tensor(clip.label),
            "index": torch.tensor(index),
        }
        if self._labels.has_logits:
            item["logits"] = _padded(np.stack(logits), length)
        return item


def choose_frames(rows: np.ndarray, sampling: ClipSampling, epoch: int, index: int) -> np.ndarray:
    """At most frames_per_clip of the clip's rows, in order: one from each of as many equal segments.

    random: every row is equally likely to be among them, whether or not segments end between two rows.
    """
    count = min(sampling.frames_per_clip, len(rows))
    if not sampling.random:
        bounds = np.linspace(0, len(rows), count + 1)
        return rows[((bounds[:-1] + bounds[1:]) / 2).astype(int)]
    generator = np.random.default_rng((sampling.seed, epoch, index))
    return rows[_one_of_each_segment(len(rows), generator.random(count))]


def _one_of_each_segment(num_rows: int, draws: np.ndarray) -> np.ndarray:
    """(T,) different rows in order, one from each of T equal segments; draws (T,) in [0, 1).

    A row that lies across the border of two segments belongs to each by its part in it. If the first has taken it, the
    second draws from its others; if not, the second takes it so much more often that each row's chance is T / N.
    """
    chosen = np.empty(len(draws), int)
    taken, chance_taken = -1, 0.0
    for i, draw in enumerate(draws):
        start, stop = i * num_rows, (i + 1) * num_rows  # in units in which a row is T long
        candidates = np.arange(start // len(draws), -(-stop // len(draws)))
        ends = np.minimum((candidates + 1) * len(draws), stop)
        parts = (ends - np.maximum(candidates * len(draws), start)) / num_rows
        last_part = parts[-1]
        if start % len(draws):
            first = 0.0 if taken == candidates[0] else parts[0] / (1 - chance_taken)
            parts[1:] *= (1 - first) / (1 - parts[0])
            parts[0] = first
        taken = chosen[i] = candidates[min(np.searchsorted(np.cumsum(parts), draw, "right"), len(parts) - 1)]
        chance_taken = last_part
    return chosen


def choose_view(num_views: int, sampling: ClipSampling, epoch: int, index: int) -> int:
    """One view for all frames of a clip: in training the stored random ones in turn, each once in K epochs."""
    if not sampling.random or num_views == 1:
        return 0
    order = np.random.default_rng((sampling.seed, index)).permutation(num_views - 1)
    return 1 + int(order[epoch % (num_views - 1)])


def choose_jitter(sampling: ClipSampling, epoch: int, index: int) -> np.ndarray:
    """(3,) factors of brightness, contrast and saturation, from 1 - jitter to 1 + jitter."""
    return 1 + sampling.jitter * np.random.default_rng((sampling.seed, epoch, index, 1)).uniform(-1, 1, 3)


def epoch_order(shard_of_clip: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """(N,) every clip exactly once: shards in random order, clips shuffled within windows of a few shards."""
    generator = np.random.default_rng((seed, epoch))
    shards = generator.permutation(sorted(set(shard_of_clip.tolist())))
    place = {shard: i // SHARDS_PER_WINDOW for i, shard in enumerate(shards)}
    window = np.array([place[shard] for shard in shard_of_clip], np.int64)
    shuffled = generator.permutation(len(window))
    return shuffled[np.argsort(window[shuffled], kind="stable")]


def _padded(values: np.ndarray, length: int) -> torch.Tensor:
    padding = np.zeros((length - len(values), *values.shape[1:]), values.dtype)
    return torch.from_numpy(np.concatenate([values, padding]))
