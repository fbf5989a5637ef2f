"""Students of real photographs: one cache by a teacher of one's own, students under named conditions, one table.

    python -m benchmarks.photos --data-dir PHOTOS --teacher-module teacher.py:NAME --work-dir WORK

PHOTOS has videos of ten one-second photographs each. Those of the first 64 videos are to train, of which train-student
holds out a tenth to choose the best epoch; students are judged on the others. The conditions are in
photo_conditions.py; the first one of a run is what the others are compared with, with 95 % intervals over videos of the
differences paired by photo, of means over seeds. Finished trainings are kept in the work folder and not repeated, and
an interrupted one is continued.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import feature_distances
from benchmarks.measuring import finish, machine
from benchmarks.own_teacher import make_cache, write_clips
from benchmarks.photo_conditions import BASE, CONDITIONS, DISTANCES, Overrides, chosen_conditions
from benchmarks.photo_figures import NAMES, Figures, difference, markdown
from benchmarks.photo_runs import Photos, Runs, training_config
from embedonce.cache.errors import CacheError
from embedonce.cache.schema import DEFAULT_VIEW_AREA
from embedonce.models.errors import ModelError
from embedonce.pipeline.errors import PipelineError

HELD_OUT, FURTHER = "held-out photos", "further photos"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Expected errors as one sentence and an exit code."""
    try:
        yield
    except (CacheError, ModelError, PipelineError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--data-dir", type=FOLDER, required=True)
@click.option("--teacher-module", type=click.Path(path_type=Path), required=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/photos"), show_default=True)
@click.option("--held-out", type=FOLDER, help="Folder of further videos or images to judge on.")
@click.option("--views", default=16, show_default=True, help="Random views of the cache.")
@click.option("--view-area", default=DEFAULT_VIEW_AREA, show_default=True, help="Smallest area of these.")
@click.option("--train-videos", default=64, show_default=True)
@click.option("--clips", default=10, show_default=True, help="Clips of each video.")
@click.option("--clip-sec", default=1.0, show_default=True)
@click.option("--size", default=BASE["student_size"], show_default=True, help="Student of all conditions.")
@click.option("--epochs", default=BASE["epochs"], show_default=True, help="Unless a condition sets them.")
@click.option("--seeds", default=3, show_default=True, help="Trainings of each condition.")
@click.option("--only", multiple=True, help="Only conditions with this in their names; may be given several times.")
@click.option("--condition", multiple=True, metavar="NAME=option:value,...", help="A further condition; likewise.")
@click.option("--distances", is_flag=True, help="Has conditions with other distances of embeddings, too.")
def main(data_dir, teacher_module, work_dir, held_out, views, view_area, train_videos, clips, clip_sec, **settings):
    shared = {"student_size": settings["size"], "epochs": settings["epochs"]}
    table = CONDITIONS
    if settings["distances"]:
        feature_distances.register()
        table = CONDITIONS | DISTANCES
    with one_sentence():
        chosen = chosen_conditions(settings["only"], settings["condition"], table)
        conditions = {name: shared | overrides for name, overrides in chosen.items()}
        check(conditions, work_dir, views)
        cache = work_dir / f"photos-{views}-{view_area:g}"
        made = {"clips": clips, "clip_sec": clip_sec, "module": teacher_module}
        embed(cache, data_dir, train_videos, **made, views=views, view_area=view_area if views else DEFAULT_VIEW_AREA)
        judged = {HELD_OUT: Photos.of(cache, "val")}
        if held_out is not None:
            embed(work_dir / "further", held_out, 0, **made)
            judged[FURTHER] = Photos.of(work_dir / "further", "val")
        found, seconds = train_all(Runs(cache, work_dir, judged), conditions, settings["seeds"])
    for part, photos in judged.items():
        click.echo(f"\n{part}: {len(photos.videos)} of {len(set(photos.videos))} videos\n")
        click.echo("\n".join(markdown(found[part], seconds, photos.videos)))
    tables = {part: _summary(found[part], photos.videos) for part, photos in judged.items()}
    finish("photos", {"tables": tables, "seconds": seconds, **machine("torch", "timm", "numpy")})


def check(conditions: dict[str, Overrides], work_dir: Path, views: int) -> None:
    """ValueError if one of the conditions cannot be trained from a cache with so many views."""
    for name, overrides in conditions.items():
        needed = training_config(work_dir, work_dir, name, overrides, 0).views
        if needed is not None and needed > views:
            raise ValueError(f"condition {name!r} needs a cache with {needed} views: give --views {needed}")


def embed(
    root: Path, folder: Path, num_train: int, *, clips: int, clip_sec: float, module: Path, **settings: Any
) -> None:
    """Make the cache of a folder of photos, or what it lacks of it. settings: of ExtractConfig."""
    table = root.with_name(f"{root.name}.csv")
    write_clips(folder, table, num_train, clips, clip_sec)
    make_cache(root, folder, table, module, clip_sec, **settings)


def train_all(
    runs: Runs, conditions: dict[str, Overrides], num_seeds: int
) -> tuple[dict[str, dict[str, list[Figures]]], dict[str, float]]:
    """(name of judged photos -> condition -> figures of each seed, condition -> mean seconds of a training)"""
    found: dict[str, dict[str, list[Figures]]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in conditions}
    for seed in range(num_seeds):
        for name, overrides in conditions.items():
            parts, spent = runs.figures(name, overrides, seed)
            seconds[name].append(spent)
            for part, figures in parts.items():
                found.setdefault(part, {}).setdefault(name, []).append(figures)
            shown = ", ".join(f"{figure} {parts[HELD_OUT][figure].mean():.3f}" for figure in NAMES)
            click.echo(f"{name}, seed {seed}: {shown} ({spent:.0f} s)")
    return found, {name: float(np.mean(spent)) for name, spent in seconds.items()}


def _summary(runs: dict[str, list[Figures]], videos: list[str]) -> dict:
    """The figures of a table: the value of each seed, and the difference from the first condition with its interval."""
    first = next(iter(runs.values()))
    return {
        condition: {
            name: {
                "seeds": [round(float(figures[name].mean()), 4) for figures in found],
                "minus first": difference(found, first, name, videos),
            }
            for name in NAMES
        }
        for condition, found in runs.items()
    }


if __name__ == "__main__":
    main()
