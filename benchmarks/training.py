"""What training from a cache costs besides the student, and how much faster it is than a teacher in the loop.

    python -m benchmarks.training

One pass over the same clips in each way, all ways in turns, medians: the student on tensors that are ready; from the
cache, with frames decoded or kept in memory (--preload); two students from the cache; and with the teacher in the loop:
frames decoded from video (as an extraction does, skipping what they do not need), embedded by the teacher, and learned
by the student. Videos are synthetic; the teacher is the demo's unless --teacher names another one. Its weights are then
random, as its speed does not depend on them.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.measuring import finish, interleaved, machine
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.models.device import choose_device
from embedonce.models.losses.registry import loss_settings
from embedonce.models.names import RANDOM_WEIGHTS
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import Workers, batches, in_order
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.extraction import extract_teacher
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.teacher_loading import load_teacher
from embedonce.pipeline.frames.canonical_frame import canonical_size, crop
from embedonce.pipeline.processes.timing import synchronizer
from embedonce.pipeline.teachers.teacher import Teacher
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun
from embedonce.pipeline.video.decode import RequestedFrames

READY, DECODED, PRELOADED = "ready tensors", "from the cache", "from the cache, preloaded"
TWO, LOOP = "two students, preloaded", "teacher in the loop"
FEW_VIEWS = 2  # so that all of them are soon in memory


class FromVideo(ClipDataset):
    """The same clips, frames and views, with frames decoded from the videos; `crops` are those for the teacher."""

    videos: dict[str, Path]
    teacher_side: int

    def _images(self, uid: str, at: np.ndarray, view: int) -> np.ndarray:
        timeline, side = self.reader.timeline(uid), self.sampling.resolution
        segments = {unit: (first, segment) for unit, first, segment in self.reader.segments_of(uid)}
        places = [
            (*segments[unit], row) for unit, row in zip(timeline.unit[at], timeline.row[at].tolist(), strict=True)
        ]
        number = np.array([segment.frame_index[row - first] for first, segment, row in places])
        pts = np.array([segment.pts[row - first] for first, segment, row in places])
        frames = RequestedFrames(self.videos[uid], number, pts, False)
        images = [found[1].to_image() for found in frames if found is not None]
        height, width = canonical_size(images[0].height, images[0].width, self.reader.identity.canonical_short_side)
        images = [image.resize((width, height)) for image in images]
        self._crops = np.stack([crop(image, timeline.views[view], self.teacher_side) for image in images])
        return np.stack([crop(image, timeline.views[view], side) for image in images])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = super().__getitem__(index)
        length = self.sampling.frames_per_clip
        padding = np.zeros((length - len(self._crops), *self._crops.shape[1:]), np.uint8)
        return item | {"crops": torch.from_numpy(np.concatenate([self._crops, padding]))}


def make_cache(folder: Path, num_samples: int, extract: dict) -> tuple[Path, Path]:
    """(cache, videos) of synthetic clips; what exists of them is kept."""
    videos, cache = folder / "videos", folder / f"cache-{extract['teacher_size']}"
    extract_teacher.run(ExtractConfig(videos, True, cache, num_samples=num_samples, **extract))
    return cache, videos


class Student:
    """A student in training, as train-student trains it, on one device."""

    def __init__(self, size: str, labels: LabelSet, dim: int, side: int, device: torch.device):
        config = TrainConfig(Path(), Path(), student_size=size, student_resolution=side)
        student = build_student(student_config(size, dim, len(labels.classes), side), False).to(device)
        self.run = StudentRun(student, config, loss_settings(beta=0.0), World(), 10**6)
        self.run.train_mode()

    def learn(self, loaded: Iterator[ClipBatch]) -> None:
        for batch in loaded:
            self.run.step(batch)


class Passes:
    """One pass over the first clips of a cache, in each way."""

    def __init__(self, cache: Path, videos: Path, teacher: Teacher, sizes: list[str], options: dict):
        self.reader: CacheReader = open_reader(cache)
        self.device, self.teacher = options["device"], teacher
        self._wait = synchronizer(self.device) or (lambda: None)
        labels, side = self.reader.label_set(), options["resolution"]
        sampling = ClipSampling(options["frames"], side, random=True, seed=0, views=FEW_VIEWS)
        clips = [clip for clip in labels.clips if clip.split == "train"][: options["clips"]]
        self.sets = {name: ClipDataset(self.reader, labels, clips, sampling) for name in (DECODED, PRELOADED)}
        in_loop = FromVideo(self.reader, labels, clips, sampling)
        in_loop.videos = {path.stem: path for path in videos.rglob("*.mp4")}
        in_loop.teacher_side = teacher.identity.input_size
        self.sets[LOOP] = in_loop
        dim = teacher.identity.embed_dim
        self.students = [Student(size, labels, dim, side, self.device) for size in sizes]
        self._planned = in_order(len(clips), options["batch_size"])
        self._workers = {name: Workers((data,), options["workers"], self.is_gpu) for name, data in self.sets.items()}
        self._keep(options["workers"])
        self.ready = [batch.to(self.device) for batch in self._load(PRELOADED)]
        self.images = sum(len(batch.targets.rows.frames) for batch in self.ready)

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _keep(self, num_workers: int) -> None:
        """Decode every crop that the passes read, which is what the first epochs of a run do."""
        data = self.sets[PRELOADED]
        data.kept = data.kept_crops()
        data.kept.allocate(is_shared=num_workers > 0)
        for data.epoch in range(FEW_VIEWS):
            for _ in self._load(PRELOADED):
                pass
        data.epoch = 0

    def _load(self, way: str) -> Iterator[ClipBatch]:
        for items in batches(self.sets[way], self._planned, self._workers[way]):
            yield ClipBatch.from_items(items).to(self.device, non_blocking=True)

    def _in_the_loop(self) -> Iterator[ClipBatch]:
        """Batches whose embeddings the teacher computes now."""
        for items in batches(self.sets[LOOP], self._planned, self._workers[LOOP]):
            mask = items["mask"]
            embeddings = torch.zeros_like(items["embeddings"])
            embeddings[mask] = torch.from_numpy(self.teacher.embed(items["crops"][mask].numpy()))
            batch = ClipBatch.from_items({name: value for name, value in items.items() if name != "crops"})
            yield dataclasses.replace(batch, embeddings=embeddings).to(self.device, non_blocking=True)

    def _joint(self) -> None:
        for batch in self._load(PRELOADED):
            for student in self.students:
                student.run.step(batch)

    def ways(self) -> dict[str, Callable[[], None]]:
        first = self.students[0]
        calls: dict[str, Callable[[], None]] = {
            READY: lambda: first.learn(iter(self.ready)),
            DECODED: lambda: first.learn(self._load(DECODED)),
            PRELOADED: lambda: first.learn(self._load(PRELOADED)),
            TWO: self._joint,
            LOOP: lambda: first.learn(self._in_the_loop()),
        }
        return {name: self._waited(call) for name, call in calls.items()}

    def _waited(self, call: Callable[[], None]) -> Callable[[], None]:
        def timed() -> None:
            call()
            self._wait()

        return timed

    def close(self) -> None:
        for workers in self._workers.values():
            workers.close()


def ratios(seconds: dict[str, float]) -> dict[str, float]:
    """The figures that the benchmark is for; the first two are shares of the speed on ready tensors."""
    second = seconds[TWO] - seconds[PRELOADED]
    return {
        DECODED: seconds[READY] / seconds[DECODED],
        PRELOADED: seconds[READY] / seconds[PRELOADED],
        "teacher in the loop / from the cache": seconds[LOOP] / seconds[DECODED],
        "teacher in the loop / preloaded": seconds[LOOP] / seconds[PRELOADED],
        "teacher in the loop / second student": seconds[LOOP] / second,
    }


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--teacher", default="demo", show_default=True, help="The teacher: demo, small, base or large.")
@click.option("--students", default="tiny,tiny", show_default=True, help="The student, and the second one.")
@click.option("--resolution", default=128, show_default=True)
@click.option("--frames", default=4, show_default=True, help="Frames of each clip.")
@click.option("--clips", default=32, show_default=True, help="Clips of a pass.")
@click.option("--batch-size", default=8, show_default=True)
@click.option("--workers", default=0, show_default=True, help="Loader processes.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(work_dir: Path, teacher: str, students: str, repeats: int, **options) -> None:
    """Measure, and end with one line of JSON."""
    options["device"] = choose_device(options["device"])
    extract = {"teacher_size": teacher, "views": FEW_VIEWS, "device": str(options["device"])}
    if teacher != "demo":
        extract |= {"teacher_weights": RANDOM_WEIGHTS}
    num_samples = 2 * options["clips"]  # some are held out
    cache, videos = make_cache(work_dir / f"training-{num_samples}", num_samples, extract)
    loaded = load_teacher(ExtractConfig(work_dir, True, cache, **extract))
    passes = Passes(cache, videos, loaded, students.split(","), options)
    calls = passes.ways()
    for call in calls.values():  # opens shards, starts loader processes, warms up the device
        call()
    working: dict[str, float] = {}
    seconds = interleaved(calls, repeats, working)
    passes.close()
    for name, value in seconds.items():
        click.echo(f"{name}: {passes.images / value:.1f} images/s ({value:.2f} s, {working[name]:.2f} s of processor)")
    found, of_processor = ratios(seconds), ratios(working)  # loader processes are not in the latter
    for name, value in found.items():
        click.echo(f"{name}: {value:.2f} (of processor time: {of_processor[name]:.2f})")
    figures = {"images": passes.images, "seconds": seconds, "ratios": found, "repeats": repeats}
    figures |= {"processor seconds": working, "ratios of processor time": of_processor}
    settings = {"teacher": teacher, "students": students} | options | {"device": str(options["device"])}
    finish("training", figures | settings | machine("torch", "numpy", "av", "Pillow"))


if __name__ == "__main__":
    main()
