"""Students of one teacher, of another, and of both, from one cache: how near they are to each on held-out clips.

    python -m benchmarks.several_teachers --data-dir VIDEOS --teacher-module teacher.py:NAME --work-dir WORK

Clips of --clip-sec seconds; the last fifth of the videos is held out. The first teacher is that of --teacher-module,
the second one the demo teacher, which embeds the stored frames (add-teacher). All students are trained by the feature
term alone, with the same clips, epochs and seeds. Figures: the mean cosine with a teacher, and retrieval: how often the
teacher's embedding of the same clip is among the five that are nearest to the student's.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import math
import time
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.measuring import finish, machine
from benchmarks.own_teacher import FEATURE_ALONE, is_near, make_cache, media_files, write_clips
from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.store import open_reader
from embedonce.pipeline.checkpoints.checkpoint import load_student
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import batches, in_order
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.extraction.added_teacher import add_teacher
from embedonce.pipeline.extraction.added_teacher.settings import AddTeacherConfig
from embedonce.pipeline.metrics.accuracy import clip_embeddings
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import train

SECOND, NEAREST = "second", 5
CONDITIONS = {"first alone": FIRST, "second alone": SECOND, "both": f"{FIRST}:1,{SECOND}:1"}
Figures = dict[str, np.ndarray]  # name of a figure -> (N,) values of the held-out clips


def make_both(data_dir: Path, work_dir: Path, module: Path, views: int, num_clips: int, clip_sec: float) -> Path:
    """The cache of both teachers; what exists of it is kept."""
    root, clips = work_dir / "several_teachers", work_dir / "clips.csv"
    num_train = math.ceil(0.8 * len(media_files(data_dir)))
    write_clips(data_dir, clips, num_train, num_clips, clip_sec)
    make_cache(root, data_dir, clips, module, clip_sec, views=views)
    add_teacher.run(AddTeacherConfig(cache_dir=root, name=SECOND, teacher_size="demo", device="cpu"))
    return root


def student_of(cache: Path, output: Path, teachers: str, seed: int, epochs: int) -> tuple[Path, float]:
    """(checkpoint, seconds of training)"""
    how = FEATURE_ALONE | {"student_size": "tiny", "epochs": epochs}
    started = time.perf_counter()
    config = TrainConfig(cache, output, teachers=teachers, seed=seed, overwrite=True, **how)
    return train(config).best_paths[0], time.perf_counter() - started


@torch.inference_mode()
def figures_of(checkpoint: Path, data: ClipDataset) -> Figures:
    """Cosine and retrieval by teacher, for the teachers that the student has a projection for."""
    student, meta = load_student(checkpoint)
    is_second = meta.teacher.weights_sha256 == data.teachers.identity(SECOND).weights_sha256
    ours: dict[str, list[np.ndarray]] = {}
    theirs: dict[str, list[np.ndarray]] = {}
    for items in batches(data, in_order(len(data), 32), 0):
        batch = ClipBatch.from_items(items)
        output, mask = student(*batch.inputs), batch.mask.numpy()
        spaces = {SECOND if is_second else FIRST: output.clip_embedding}
        spaces |= {name: added.clip_embedding for name, added in output.added.items()}
        of_teachers = {FIRST: batch.embeddings, **(batch.added or {})}
        for name, vectors in spaces.items():
            ours.setdefault(name, []).append(vectors.numpy())
            theirs.setdefault(name, []).append(clip_embeddings(of_teachers[name].numpy(), mask))
    found: Figures = {}
    for name in ours:
        pair = np.concatenate(ours[name]), np.concatenate(theirs[name])
        found |= {f"cosine {name}": (pair[0] * pair[1]).sum(1), f"retrieval@{NEAREST} {name}": is_near(*pair, NEAREST)}
    return found


@click.command()
@click.option("--data-dir", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--teacher-module", type=click.Path(path_type=Path), required=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"))
@click.option("--clips", default=10, help="Clips of each video.")
@click.option("--clip-sec", default=1.0)
@click.option("--views", default=4)
@click.option("--epochs", default=12)
@click.option("--seeds", default=2)
def main(data_dir, teacher_module, work_dir, clips, clip_sec, views, epochs, seeds) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    cache = make_both(data_dir, work_dir, teacher_module, views, clips, clip_sec)
    reader = open_reader(cache)
    labels = reader.label_set()
    held_out = [clip for clip in labels.clips if clip.split == "val"]
    data = ClipDataset(reader, labels, held_out, ClipSampling(1, 128, random=False, seed=0), teachers=(FIRST, SECOND))
    recordings = np.array([clip.video_uid for clip in data.clips])
    found: dict[str, list[Figures]] = {name: [] for name in CONDITIONS}
    seconds: dict[str, list[float]] = {name: [] for name in CONDITIONS}
    for seed in range(seeds):
        for name, teachers in CONDITIONS.items():
            place = work_dir / f"several_teachers-{name.replace(' ', '-')}-{seed}"
            path, spent = student_of(cache, place, teachers, seed, epochs)
            found[name].append(figures_of(path, data))
            seconds[name].append(spent)
    results = {name: {key: [float(f[key].mean()) for f in of] for key in of[0]} for name, of in found.items()}
    for name, of in results.items():
        shown = ", ".join(f"{key} {np.mean(values):.3f}" for key, values in of.items())
        click.echo(f"{name}: {shown} ({np.mean(seconds[name]):.0f} s each)")
    differences = {}
    for alone, of in (("first alone", FIRST), ("second alone", SECOND)):
        for figure in ("cosine", f"retrieval@{NEAREST}"):
            key = f"{figure} {of}"
            mean = {name: np.clip(np.mean([f[key] for f in found[name]], axis=0), 0, 1) for name in ("both", alone)}
            difference, interval = paired_difference(mean["both"], mean[alone], recordings)
            differences[key] = (difference, interval)
            click.echo(f"both minus {alone}, {key}: {difference:+.3f} {interval}")
    finish(
        "several_teachers",
        {"results": results, "differences": differences, "seconds": seconds, **machine("torch", "numpy")},
    )


if __name__ == "__main__":
    main()
