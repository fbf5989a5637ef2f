"""Clips embedded by a teacher of one's own (--teacher-module), for benchmarks of students on real images."""

import csv
from pathlib import Path

import click
import numpy as np

from embedonce.pipeline.extraction import extract_teacher
from embedonce.pipeline.extraction.settings import ExtractConfig

VIDEOS, IMAGES = {".mp4", ".mkv", ".webm"}, {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
# Of students: trained from scratch by the feature term alone, on clips of one frame
FEATURE_ALONE = {
    **{"student_resolution": 128, "frames_per_clip": 1, "student_pretrained": False, "batch_size": 32},
    **{"beta": 0.0, "gamma": 0.0, "num_workers": 0, "device": "cpu"},
}


def media_files(folder: Path) -> list[Path]:
    """The videos and images of a folder, by name."""
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in VIDEOS | IMAGES)


def write_clips(folder: Path, path: Path, num_train: int, num_clips: int, clip_sec: float) -> None:
    """Write a table of num_clips clips of each video, and one of each image, of a folder.

    Those of the first num_train files, by name, are to train, the others to judge. ClickException if there are none.
    """
    files = media_files(folder)
    if not files[num_train:]:
        raise click.ClickException(f"{folder} has {len(files)} videos and images: none is left to judge students on")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("video", "start", "end", "split"))
        for number, video in enumerate(files):
            split = "train" if number < num_train else "val"
            starts = range(num_clips) if video.suffix.lower() in VIDEOS else ()
            table.writerows((video.name, clip_sec * i, clip_sec * (i + 1), split) for i in starts)
            if not starts:
                table.writerow((video.name, "", "", split))


def make_cache(root: Path, folder: Path, clips: Path, teacher_module: Path, clip_sec: float, **settings) -> None:
    """Embed the clips of a table, one frame of each. What the cache has is kept. settings: of ExtractConfig."""
    made = {"teacher_module": teacher_module, "teacher_head": "none", "fps": 1 / clip_sec, "device": "cpu"}
    extract_teacher.run(ExtractConfig(folder, False, root, manifest=clips, **made, **settings))


def is_near(ours: np.ndarray, theirs: np.ndarray, nearest: int) -> np.ndarray:
    """(N,) 1.0 where the teacher's vector of the same clip is among the nearest to the student's, else 0.0.

    ours, theirs: (N, D) unit vectors of student and teacher.
    """
    similarity = ours @ theirs.T
    rank = (similarity > np.diag(similarity)[:, None]).sum(1)
    return (rank < nearest).astype(float)
