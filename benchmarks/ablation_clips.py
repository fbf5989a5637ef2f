"""Clips of a cache in memory: decoded once for dozens of runs, and checked against the loader's batches."""

import multiprocessing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from embedonce.cache.heads import logits_from
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling, choose_frames, choose_view
from embedonce.pipeline.clips.time_shift import moved_rows
from embedonce.pipeline.frames import canonical_frame


@dataclass(frozen=True)
class Setting:
    """What all runs share, unless conditions override num_views or weights (of loss terms, by option)."""

    cache_dir: Path
    work_dir: Path
    size: str = "tiny"
    resolution: int = 128
    train_clips: int = 1500
    frames: int = 4
    epochs: int = 40
    batch_size: int = 32
    lr: float = 2e-3
    num_views: int = 8
    weights: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"


class Clips:
    """Clips of one split: all rows of their videos in memory, and which of them are of each clip.

    crops (N, V, 3, R, R) uint8, embeddings (N, V, D), logits (N, V, C), on the device.
    """

    def __init__(self, setting: Setting, split: str, num_views: int | None):
        """split: "train", the first videos of that split with setting.train_clips clips, or "held-out", all others."""
        self.reader = open_reader(setting.cache_dir)
        self.labels = self.reader.label_set()
        ours = {clip.video_uid for clip in [c for c in self.labels.clips if c.split == "train"][: setting.train_clips]}
        clips = [clip for clip in self.labels.clips if (clip.video_uid in ours) == (split == "train")]
        self.dataset = ClipDataset(
            self.reader, self.labels, clips, ClipSampling(setting.frames, setting.resolution, split == "train", 0)
        )
        self.setting, self.split, self.device = setting, split, torch.device(setting.device)
        self.places, self._first_of = _places(self.dataset, self.reader)
        self.views = num_views or 1 + self.reader.identity.num_views

    def prepare(self, workers: int) -> None:
        """Decode the crops of all rows into a file that all runs share."""
        path = self._path()
        if path.exists():
            return
        side = self.setting.resolution
        crops = np.lib.format.open_memmap(
            path.with_suffix(".part"), "w+", np.uint8, (len(self.places), self.views, side, side, 3)
        )
        tasks = [(self.setting, place, self.views) for place in self.places]
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for i, decoded in enumerate(pool.imap(_decoded, tasks, chunksize=64)):
                crops[i] = decoded
        crops.flush()
        path.with_suffix(".part").rename(path)

    def load(self) -> "Clips":
        """Load everything onto the device."""
        crops = torch.from_numpy(np.load(self._path(), mmap_mode="r"))
        self.crops = crops.to(self.device).permute(0, 1, 4, 2, 3)
        embeddings = {unit: self.reader.all_embeddings(unit) for unit in dict.fromkeys(u for u, _ in self.places)}
        rows = np.stack([embeddings[unit][row, : self.views] for unit, row in self.places])
        self.embeddings = torch.from_numpy(rows.astype(np.float32)).to(self.device)
        self.head = self.reader.head(self.labels.name)
        self.logits = torch.from_numpy(logits_from(self.head, rows)).to(self.device)
        self.label_of = torch.from_numpy(self.dataset.label_array).to(self.device)
        return self

    def rows_of(self, index: int, sampling: ClipSampling, epoch: int) -> np.ndarray:
        """The positions of a clip's rows in memory, moved if the sampling says so."""
        clip, place = self.dataset.clips[index], (sampling.seed, epoch, index)
        rows = moved_rows(self.reader.timeline(clip.video_uid), clip, sampling.largest_shift, place)
        return self._first_of[clip.video_uid] + np.array(rows)

    def batch(self, indexes: list[int], views: int, seed: int, epoch: int, time_shift: float = 0.0) -> dict:
        """What the loader would deliver for these clips, with so many of the stored random views."""
        sampling = replace(self.dataset.sampling, seed=seed, time_shift=time_shift)
        length, at, view, seconds = sampling.frames_per_clip, [], [], []
        for index in indexes:
            moved, still = (self.rows_of(index, one, epoch) for one in (sampling, replace(sampling, time_shift=0.0)))
            chosen = choose_frames(moved, sampling, epoch, index)
            at.append(np.pad(chosen, (0, length - len(chosen)), constant_values=-1))
            start_sec = self.dataset.clips[index].start_sec + self.times[moved[0]] - self.times[still[0]]
            seconds.append(np.pad(self.times[chosen] - start_sec, (0, length - len(chosen))))
            view.append(choose_view(1 + views, sampling, epoch, index))
        rows = torch.from_numpy(np.stack(at)).to(self.device)
        view = torch.tensor(view, device=self.device)[:, None]
        mask = rows >= 0
        rows = rows.clamp(min=0)
        return {
            "frames": self.crops[rows, view] * mask[..., None, None, None],
            "embeddings": self.embeddings[rows, view] * mask[..., None],
            "logits": self.logits[rows, view] * mask[..., None],
            "mask": mask,
            "t_rel_sec": torch.from_numpy(np.stack(seconds).astype(np.float32)).to(self.device),
            "label": self.label_of[torch.tensor(indexes, device=self.device)],
            "index": torch.tensor(indexes),
        }

    @cached_property
    def times(self) -> np.ndarray:
        """(N,) requested time of each row, in seconds."""
        return np.concatenate([self.reader.timeline(video).t_sec for video in self._first_of])

    def _path(self) -> Path:
        return self.setting.work_dir / f"crops_{self.split}_{len(self.places)}x{self.views}.npy"

    def check(self) -> None:
        """AssertionError if a batch differs from what the loader delivers."""
        for epoch in (0, 3):
            self.dataset.epoch = epoch
            views = self.reader.identity.num_views if self.views > 1 else 0
            ours = self.batch([0, 5], views, 0, epoch, self.dataset.sampling.time_shift)
            for i, index in enumerate((0, 5)):
                for name, theirs in self.dataset[index].items():
                    if name != "index":
                        torch.testing.assert_close(ours[name][i].cpu(), theirs, rtol=1e-4, atol=1e-3)


def _decoded(task: tuple) -> np.ndarray:
    """(V, R, R, 3) uint8 of one row."""
    setting, (unit, row), num_views = task
    reader = _READERS.setdefault(setting.cache_dir, open_reader(setting.cache_dir))
    views = reader.views_of(unit, row)[:num_views]
    return canonical_frame.replay(reader.frames(unit).jpeg(row), views, setting.resolution)


_READERS: dict = {}


def _places(dataset: ClipDataset, reader: CacheReader) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """(unit, row) of every row of the clips' videos, and where in that list the timeline of each video begins."""
    places: list[tuple[str, int]] = []
    first_of: dict[str, int] = {}
    for video in dict.fromkeys(clip.video_uid for clip in dataset.clips):
        timeline, first_of[video] = reader.timeline(video), len(places)
        places += zip(timeline.unit, timeline.row.tolist(), strict=True)
    return places, first_of
