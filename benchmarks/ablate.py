"""Ablation of the training recipe: students trained from one cache under conditions that differ in one thing each.

    python cli.py extract-teacher --use-synthetic --num-samples 4000 --teacher-size demo --views 8 --cache-dir CACHE
    python -m benchmarks.ablate --cache-dir CACHE

Random views are used from the first step on, where train-student would wait until clips are memorized: --views 0 is its
recipe for clips that are not. Finished runs are kept in the work folder and not repeated. Differences are paired by
held-out clip, of means over seeds, with 95 % bootstrap intervals over videos.
"""

import hashlib
import json
import multiprocessing
import time
from pathlib import Path

import click
import numpy as np

from benchmarks import feature_distances
from benchmarks.ablation import Condition, train_once
from benchmarks.ablation_clips import Clips, Setting
from benchmarks.ablation_conditions import COMPARED, chosen_runs
from benchmarks.measuring import finish, machine
from embedonce.cache.store import open_reader
from embedonce.models.losses.registry import loss_terms
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference

_loaded: list[Clips] = []


def _load(setting: Setting) -> None:
    import torch

    feature_distances.register()
    torch.set_num_threads(1 if setting.device != "cpu" else torch.get_num_threads())
    _loaded[:] = [Clips(setting, "train", None).load(), Clips(setting, "held-out", 1).load()]


def _work(task: tuple[Condition, int]) -> tuple[str, dict]:
    condition, seed = task
    start = time.perf_counter()
    result = train_once(*_loaded, condition, seed)
    return f"{condition.name}|{seed}", result | {"seconds": time.perf_counter() - start}


def run_all(setting: Setting, jobs: int, seconds: float, only: str, num_seeds: int) -> dict[str, dict]:
    """Do the missing runs, `jobs` at a time, until time is up; returns all finished runs by `condition|seed`."""
    path = _runs_file(setting)
    lines = path.read_text().splitlines() if path.exists() else []
    done = dict(map(json.loads, lines))
    tasks = [(c, seed) for c, seed in chosen_runs(only, num_seeds) if f"{c.name}|{seed}" not in done]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs, _load, (setting,)) as pool, path.open("a") as file:
        waiting = pool.imap_unordered(_work, tasks)
        for _ in tasks:
            try:
                key, result = waiting.next(max(1.0, seconds - (time.monotonic() - start)))
            except multiprocessing.TimeoutError:
                click.echo("time is up: run the command again for the remaining conditions")
                pool.terminate()
                break
            done[key] = result
            file.write(json.dumps([key, result]) + "\n")
            file.flush()
            click.echo(f"{key}: top-1 {np.mean(result['right']):.4f}, {result['seconds']:.0f} s")
    return done


def check_views(setting: Setting, only: str) -> None:
    """ClickException if a condition needs more random views than the cache has."""
    stored = open_reader(setting.cache_dir).identity.num_views
    for condition, _ in chosen_runs(only, 1):
        needed = setting.num_views if condition.views is None else condition.views
        if needed > stored:
            raise click.ClickException(
                f"condition {condition.name!r} needs {needed} random views, and {setting.cache_dir} has {stored}: give "
                "--views, or choose conditions with --only"
            )


def _runs_file(setting: Setting) -> Path:
    """The file of the finished runs with these settings; other settings have other files."""
    shared = {name: str(value) for name, value in vars(setting).items() if name not in ("work_dir", "device")}
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:8]
    return setting.work_dir / f"runs-{digest}.jsonl"


def by_condition(done: dict[str, dict]) -> dict[str, dict[str, np.ndarray]]:
    """condition -> name of a figure -> (clips,) means over seeds."""
    runs: dict[str, list[dict]] = {}
    for key, result in done.items():
        runs.setdefault(key.rpartition("|")[0], []).append(result)
    names = ("right", "agrees", "cosine")
    return {
        condition: {name: np.mean([result[name] for result in results], axis=0) for name in names}
        for condition, results in runs.items()
    }


def report(done: dict[str, dict], videos: list[str], teacher: float) -> dict:
    """Print both tables; returns their figures. teacher: its top-1 accuracy."""
    means = by_condition(done)
    click.echo(f"\nteacher: top-1 {100 * teacher:.1f} % of {len(videos)} clips of {len(set(videos))} videos")
    return {"table": _table(done, means), "differences": _differences(means, videos)}


def _table(done: dict[str, dict], means: dict) -> dict:
    terms = [term.name for term in loss_terms()]
    click.echo(f"condition | seeds | top-1 | agreement | cosine | gradient share: {', '.join(terms)}")
    table = {}
    for condition, values in means.items():
        runs = [result for key, result in done.items() if key.rpartition("|")[0] == condition]
        shares = {term: float(np.mean([run["shares"].get(term, 0) for run in runs])) for term in terms}
        row = {name: round(float(value.mean()), 4) for name, value in values.items()}
        table[condition] = row | {"seeds": len(runs), "shares": {k: round(v, 3) for k, v in shares.items()}}
        click.echo(
            f"{condition} | {len(runs)} | {100 * row['right']:.1f} % | {100 * row['agrees']:.1f} % | "
            f"{row['cosine']:.3f} | " + ", ".join(f"{share:.2f}" for share in shares.values())
        )
    return table


def _differences(means: dict, videos: list[str]) -> dict:
    click.echo("difference | points | 95 % interval")
    differences = {}
    for first, second in COMPARED:
        if first in means and second in means:
            difference, limits = paired_difference(means[first]["right"], means[second]["right"], videos)
            points = [round(100 * x, 2) for x in (difference, *(limits or (np.nan, np.nan)))]
            differences[f"{first} - {second}"] = points
            click.echo(f"{first} - {second} | {points[0]:+.2f} | {points[1]:+.2f} to {points[2]:+.2f}")
    return differences


@click.command()
@click.option("--cache-dir", type=click.Path(path_type=Path), required=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/ablation"))
@click.option("--size", default="tiny", show_default=True)
@click.option("--train-clips", type=int, default=1500, show_default=True)
@click.option("--epochs", type=int, default=40, show_default=True)
@click.option("--frames", type=int, default=4, show_default=True, help="Frames per clip.")
@click.option("--batch-size", type=int, default=32, show_default=True)
@click.option("--lr", type=float, default=2e-3, show_default=True)
@click.option(
    "--views",
    "num_views",
    type=int,
    default=8,
    show_default=True,
    help="Random views from the first step on, unless a condition sets them.",
)
@click.option(
    "--beta",
    type=float,
    default=0.1,
    show_default=True,
    help="Weight of the response term, unless a condition sets it.",
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Concurrent runs.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--seconds", type=float, default=1e9, help="Time limit; run again to continue.")
@click.option("--only", default="", help="Run only the condition of this name, or those whose names contain it.")
@click.option("--seeds", default=3, show_default=True, help="At most so many runs of a condition.")
def main(cache_dir: Path, work_dir: Path, jobs: int, seconds: float, only: str, seeds: int, beta: float, **settings):
    feature_distances.register()
    setting = Setting(cache_dir, work_dir, **settings, weights={"beta": beta})
    check_views(setting, only)
    work_dir.mkdir(parents=True, exist_ok=True)
    sides = [Clips(setting, "train", None), Clips(setting, "held-out", 1)]
    for side in sides:
        side.prepare(multiprocessing.cpu_count())
    held_out = sides[1].load()
    held_out.check()
    videos = [clip.video_uid for clip in held_out.dataset.clips]
    click.echo(f"{len(sides[0].dataset)} training clips, {len(videos)} held out")
    done = run_all(setting, jobs, seconds, only, seeds)
    figures = report(done, videos, _teacher_top1(held_out))
    finish("ablate", {**figures, "clips": [len(sides[0].dataset), len(videos)], **machine("torch", "timm", "numpy")})


def _teacher_top1(held_out: Clips) -> float:
    right = []
    for start in range(0, len(held_out.dataset), 256):
        batch = held_out.batch(list(range(start, min(start + 256, len(held_out.dataset)))), 0, 0, 0)
        logits = batch["logits"].sum(1)  # padding is zeros, so the largest is that of the mean
        right += (logits.argmax(1) == batch["label"]).tolist()
    return float(np.mean(right))


if __name__ == "__main__":
    main()
