"""One training run of the ablation: clips in memory, the real losses, students and choices of frames and views.

What the loader would deliver is decoded once, checked against it, and kept in memory: dozens of runs share it.
"""

import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from cache.labels import logits_from
from cache.store import open_reader
from models.mobilevit_student import build_student, student_config
from pipeline import metrics, pixels
from pipeline.config import TrainConfig
from pipeline.dataset import ClipDataset, Sampling, choose_frames, choose_view, epoch_order
from pipeline.distributed import World, global_batches
from pipeline.recipe import active_weights
from pipeline.student_run import StudentRun
from pipeline.views import make_views

INT8_BLOCK = 32


@dataclass(frozen=True)
class Condition:
    """What a run differs in. labels: the share of training videos whose labels are kept. blocks: embeddings as int8.

    teacher: "cached"; "live", asked in every step about the stored views; "fresh", about a new crop in every step.
    """

    name: str
    views: int = 8
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 0.5
    temperature: float = 4.0
    projection: str = "mlp"
    labels: float = 1.0
    blocks: bool = False
    teacher: str = "cached"


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    cache_dir: Path
    work_dir: Path
    size: str = "tiny"
    resolution: int = 128
    train_clips: int = 1500
    frames: int = 4
    epochs: int = 40
    batch_size: int = 32
    lr: float = 2e-3
    device: str = "cpu"


class Clips:
    """Clips of one split: rows in memory, and which of them each clip has.

    crops (N, V, 3, R, R), embeddings (N, V, D), logits (N, V, C), on the device; canonical: decoded frames or None.
    """

    def __init__(self, setting: Setting, split: str, num_views: int | None):
        """split: "train", the first videos of that split with setting.train_clips clips, or "held-out", all others."""
        self.reader = open_reader(setting.cache_dir)
        self.labels = self.reader.label_set()
        ours = {clip.video_uid for clip in [c for c in self.labels.clips if c.split == "train"][: setting.train_clips]}
        clips = [clip for clip in self.labels.clips if (clip.video_uid in ours) == (split == "train")]
        self.dataset = ClipDataset(
            self.reader, self.labels, clips, Sampling(setting.frames, setting.resolution, split == "train", 0)
        )
        self.setting, self.split, self.device = setting, split, torch.device(setting.device)
        self.places, self.rows_of = _places(self.dataset, self.reader)
        self.views = num_views or 1 + self.reader.identity.num_views

    def prepare(self, workers: int) -> None:
        """Decode the crops of all rows into a file that runs share."""
        path = self._path()
        if path.exists():
            return
        side = self.setting.resolution
        crops = np.lib.format.open_memmap(
            path.with_suffix(".part"), "w+", np.uint8, (len(self.places), self.views, side, side, 3)
        )
        tasks = [(self.setting, place, self.views) for place in self.places]
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for i, found in enumerate(pool.imap(_decoded, tasks, chunksize=64)):
                crops[i] = found
        crops.flush()
        path.with_suffix(".part").rename(path)

    def load(self) -> "Clips":
        """Take everything onto the device."""
        crops = torch.from_numpy(np.load(self._path(), mmap_mode="r"))
        self.crops = crops.to(self.device).permute(0, 1, 4, 2, 3)
        embeddings = {unit: self.reader.all_embeddings(unit) for unit in dict.fromkeys(u for u, _ in self.places)}
        rows = np.stack([embeddings[unit][row, : self.views] for unit, row in self.places])
        self.embeddings = torch.from_numpy(rows.astype(np.float32)).to(self.device)
        self.head = self.reader.head(self.labels.name)
        self.logits = torch.from_numpy(logits_from(self.head, rows)).to(self.device)
        self.label_of = torch.from_numpy(self.dataset.label_array).to(self.device)
        return self

    def batch(self, indexes: list[int], condition: Condition, seed: int, epoch: int) -> dict:
        """What the loader would deliver of these clips."""
        sampling = replace(self.dataset.sampling, seed=seed)
        length, at, view = sampling.frames_per_clip, [], []
        for index in indexes:
            chosen = choose_frames(self.rows_of[index], sampling, epoch, index)
            at.append(np.pad(chosen, (0, length - len(chosen)), constant_values=-1))
            view.append(choose_view(1 + condition.views, sampling, epoch, index))
        rows, views = torch.from_numpy(np.stack(at)).to(self.device), torch.tensor(view, device=self.device)[:, None]
        mask = rows >= 0
        rows = rows.clamp(min=0)
        times = self._times(indexes, at)
        return {
            "frames": self.crops[rows, views] * mask[..., None, None, None],
            "embeddings": self.embeddings[rows, views] * mask[..., None],
            "logits": self.logits[rows, views] * mask[..., None],
            "mask": mask,
            "t_rel_sec": torch.from_numpy(times).to(self.device),
            "label": self.label_of[torch.tensor(indexes, device=self.device)],
            "index": torch.tensor(indexes),
        }

    def _times(self, indexes: list[int], at: list[np.ndarray]) -> np.ndarray:
        seconds = np.zeros((len(at), len(at[0])), np.float32)
        for i, (index, rows) in enumerate(zip(indexes, at, strict=True)):
            known = rows >= 0
            seconds[i, known] = self.times[rows[known]] - self.dataset.clips[index].start_sec
        return seconds

    @property
    def times(self) -> np.ndarray:
        """(N,) requested seconds of each row."""
        if not hasattr(self, "_seconds"):
            self._seconds = _seconds(self.dataset, self.reader, self.rows_of, len(self.places))
        return self._seconds

    def _path(self) -> Path:
        return self.setting.work_dir / f"crops_{self.split}_{len(self.places)}x{self.views}.npy"

    def check(self) -> None:
        """AssertionError where a batch is not what the loader delivers."""
        for epoch in (0, 3):
            self.dataset.epoch = epoch
            views = self.reader.identity.num_views if self.views > 1 else 0
            ours = self.batch([0, 5], Condition("", views=views), 0, epoch)
            for i, index in enumerate((0, 5)):
                for name, theirs in self.dataset[index].items():
                    if name != "index":
                        torch.testing.assert_close(ours[name][i].cpu(), theirs, rtol=1e-4, atol=1e-3)


def train_once(train: Clips, held_out: Clips, condition: Condition, seed: int) -> dict:
    """Train one student and judge it; per-clip answers as lists."""
    setting = train.setting
    config = TrainConfig(
        *(setting.cache_dir, setting.work_dir),
        **{"epochs": setting.epochs, "batch_size": setting.batch_size, "lr": setting.lr, "seed": seed},
        **{name: getattr(condition, name) for name in ("alpha", "beta", "gamma", "temperature", "projection")},
    )
    torch.manual_seed(seed)
    shape = (train.embeddings.shape[-1], len(train.labels.classes), setting.resolution, condition.projection)
    student = build_student(student_config(setting.size, *shape), pretrained=False).to(train.device)
    source = _Source(train, condition, seed)
    planned = [source.planned(epoch, setting.batch_size) for epoch in range(setting.epochs)]
    weights = active_weights(config, train.labels)
    run = StudentRun(student, config, weights, World(), sum(map(len, planned)))
    for epoch, batches in enumerate(planned):
        run.train_mode()
        for number, indexes in enumerate(batches):
            run.step(source.batch(indexes, epoch), 1.0, True, with_shares=number == 0 and epoch in (0, 10))
        shares = dict(run.shares)
    return judge(held_out, run.judged) | {"shares": shares}


@torch.inference_mode()
def judge(held_out: Clips, student) -> dict:
    """Whether each clip is named rightly, as the teacher names it, and the cosine of its embedding."""
    student.eval()
    plain, gathered = Condition("", views=0), {"right": [], "agrees": [], "cosine": []}
    for start in range(0, len(held_out.dataset), 64):
        batch = held_out.batch(list(range(start, min(start + 64, len(held_out.dataset)))), plain, 0, 0)
        output = student(batch["frames"], batch["t_rel_sec"], batch["mask"])
        mask = batch["mask"].cpu().numpy()
        teacher = metrics.clip_logits(batch["logits"].cpu().numpy(), mask).argmax(1)
        embeddings = metrics.clip_embeddings(batch["embeddings"].cpu().numpy(), mask)
        answers = output.clip_logits.argmax(1).cpu().numpy()
        gathered["right"] += (answers == batch["label"].cpu().numpy()).tolist()
        gathered["agrees"] += (answers == teacher).tolist()
        gathered["cosine"] += (output.clip_embedding.float().cpu().numpy() * embeddings).sum(1).round(5).tolist()
    return gathered


class _Source:
    """Batches of a condition: labels that are kept, embeddings as they are stored, or a teacher that is asked."""

    def __init__(self, clips: Clips, condition: Condition, seed: int):
        self.clips, self.condition, self.seed = clips, condition, seed
        videos = sorted({clip.video_uid for clip in clips.dataset.clips})
        kept = set(videos[: max(1, round(condition.labels * len(videos)))])
        self.is_labelled = np.array([clip.video_uid in kept for clip in clips.dataset.clips])
        self.teacher = _teacher(clips) if condition.teacher != "cached" else None
        self.canonical = _canonical(clips) if condition.teacher == "fresh" else None

    def planned(self, epoch: int, batch_size: int) -> list[list[int]]:
        """An epoch's batches; with labels alone, unlabelled clips are no part of it, and passes make up for them."""
        order = epoch_order(self.clips.dataset.shard_of_clip, self.seed, epoch)
        if not (self.condition.alpha or self.condition.beta):
            order = [i for i in order if self.is_labelled[i]] * round(1 / self.condition.labels)
        return global_batches(list(map(int, order)), batch_size, 1)

    def batch(self, indexes: list[int], epoch: int) -> dict:
        batch = self.clips.batch(indexes, self.condition, self.seed, epoch)
        hidden = torch.from_numpy(~self.is_labelled[indexes]).to(batch["label"].device)
        batch["label"] = batch["label"].masked_fill(hidden, -1)
        if self.canonical is not None:
            batch["frames"] = self._fresh(batch, indexes, epoch)
        if self.teacher is not None:
            self._ask(batch)
        if self.condition.blocks:
            batch["embeddings"] = _as_blocks(batch["embeddings"])
            text = torch.from_numpy(self.clips.head["class_text"]).to(batch["logits"].device)
            batch["logits"] = float(self.clips.head["logit_scale"][0]) * batch["embeddings"] @ text.T
        return batch

    def _ask(self, batch: dict) -> None:
        frames = batch["frames"].flatten(0, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        embeddings = self.teacher.embed(frames)
        shape = batch["mask"].shape
        logits = logits_from(self.clips.head, embeddings[:, None])[:, 0]
        for name, values in (("embeddings", embeddings), ("logits", logits)):
            batch[name] = torch.from_numpy(values).to(batch["mask"].device).unflatten(0, shape)

    def _fresh(self, batch: dict, indexes: list[int], epoch: int) -> torch.Tensor:
        """A new random crop for each clip, by the rule of the stored views."""
        teacher, side, frames = self.clips.reader.identity.teacher, self.clips.setting.resolution, []
        sampling = replace(self.clips.dataset.sampling, seed=self.seed)
        for index in indexes:
            rows = choose_frames(self.clips.rows_of[index], sampling, epoch, index)
            images = self.canonical[torch.from_numpy(rows).to(self.canonical.device)]
            size = tuple(images.shape[-2:])
            top, left, height, width, flags, _ = make_views(f"{index}", size, 1, 1 + epoch + 1000 * self.seed, teacher)[
                1
            ]
            crop = images[..., top : top + height, left : left + width].float()
            crop = functional.interpolate(crop, (side, side), mode="bicubic", antialias=True)
            crop = crop.flip(-1) if flags else crop
            padding = crop.new_zeros(batch["mask"].shape[1] - len(crop), *crop.shape[1:])
            frames.append(torch.cat([crop, padding]).round().clamp(0, 255).to(torch.uint8))
        return torch.stack(frames)


def _as_blocks(embeddings: torch.Tensor) -> torch.Tensor:
    """As they come back from int8 with one scale for each block of INT8_BLOCK numbers."""
    blocks = embeddings.unflatten(-1, (-1, INT8_BLOCK))
    scale = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return ((blocks / scale).round() * scale).flatten(-2)


def _teacher(clips: Clips):
    from pipeline.stage_one import teacher_of

    return teacher_of(clips.reader, device=clips.setting.device, seed=0)


def _canonical(clips: Clips) -> torch.Tensor:
    """(N, 3, H, W) uint8: the stored frames, decoded; all of one size."""
    images = [np.asarray(pixels.decode_jpeg(clips.reader.frames(unit).jpeg(row))) for unit, row in clips.places]
    return torch.from_numpy(np.stack(images)).to(clips.device).permute(0, 3, 1, 2)


def _decoded(task: tuple) -> np.ndarray:
    """(V, R, R, 3) uint8 of one row."""
    setting, (unit, row), num_views = task
    reader = _READERS.setdefault(setting.cache_dir, open_reader(setting.cache_dir))
    views = reader.views_of(unit, row)[:num_views]
    return pixels.replay(reader.frames(unit).jpeg(row), views, setting.resolution)


_READERS: dict = {}


def _places(dataset: ClipDataset, reader) -> tuple[list[tuple[str, int]], list[np.ndarray]]:
    """(unit, row) of every row that a clip has, and the positions in that list of each clip's rows."""
    number: dict[tuple[str, int], int] = {}
    rows_of = []
    for clip in dataset.clips:
        timeline = reader.timeline(clip.video_uid)
        window = timeline.window(clip.start_sec, clip.end_sec)
        keys = [(timeline.unit[i], int(timeline.row[i])) for i in range(window.start, window.stop)]
        rows_of.append(np.array([number.setdefault(key, len(number)) for key in keys]))
    return list(number), rows_of


def _seconds(dataset: ClipDataset, reader, rows_of: list[np.ndarray], count: int) -> np.ndarray:
    seconds = np.zeros(count)
    for clip, rows in zip(dataset.clips, rows_of, strict=True):
        timeline = reader.timeline(clip.video_uid)
        seconds[rows] = timeline.t_sec[timeline.window(clip.start_sec, clip.end_sec)]
    return seconds
