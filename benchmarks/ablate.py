"""What each part of the recipe is worth: students trained from one cache that differ in one thing each.

    python cli.py extract-teacher --use-synthetic --num-samples 4000 --teacher-size demo --views 8 --cache-dir CACHE
    python -m benchmarks.ablate --cache-dir CACHE

Runs that are done are in the work folder and are not done again. Differences are of the same held-out clips, paired,
with 95 % intervals over videos, of the mean over seeds.
"""

import json
import multiprocessing
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.ablation import Condition, train_once
from benchmarks.ablation_clips import Clips, Setting
from benchmarks.measuring import finish, machine
from embedonce.models.names import PROJECTIONS
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference

SEVERAL, ONE = (0, 1, 2), (0,)
FULL = Condition("all, K=8")
LABELS_ALONE = {"alpha": 0.0, "beta": 0.0, "gamma": 1.0}
CONDITIONS: list[tuple[Condition, tuple[int, ...]]] = [
    (FULL, SEVERAL),
    *((Condition(f"all, K={views}", views=views), SEVERAL) for views in (0, 1, 4)),
    (Condition("labels only", **LABELS_ALONE), SEVERAL),
    (Condition("response only", alpha=0.0, gamma=0.0), ONE),
    (Condition("feature only", beta=0.0, gamma=0.0), ONE),
    (Condition("feature and response", gamma=0.0), ONE),
    (Condition("feature and labels", beta=0.0), ONE),
    *((Condition(f"beta={beta:g}", beta=beta), ONE) for beta in (0.03, 0.3, 1.0)),
    (Condition("gamma=2", gamma=2.0), ONE),
    (Condition("10 % of labels, labels only", labels=0.1, **LABELS_ALONE), SEVERAL),
    (Condition("10 % of labels, all", labels=0.1), SEVERAL),
    (Condition("teacher in the loop, same views", teacher="live"), SEVERAL),
    (Condition("teacher in the loop, fresh views", teacher="fresh"), SEVERAL),
    *(
        (Condition(f"projection {kind}", projection=kind), ONE)
        for kind in ("linear", "linear-norm", "linear-norm-gelu")
    ),
    *((Condition(f"T={t:g}", temperature=t), ONE) for t in (1.0, 2.0)),
    (Condition("int8 blocks", blocks=True), ONE),
]
COMPARED = [  # is the first better than the second?
    *((FULL.name, f"all, K={views}") for views in (0, 1, 4)),
    ("all, K=4", "all, K=0"),
    (FULL.name, "labels only"),
    ("10 % of labels, all", "10 % of labels, labels only"),
    (FULL.name, "teacher in the loop, same views"),
    (FULL.name, "teacher in the loop, fresh views"),
    *((FULL.name, name) for name in ("response only", "feature only", "feature and response", "feature and labels")),
    *((name, "labels only") for name in ("feature and labels", "beta=0.03", "beta=0.3", "beta=1", "gamma=2")),
    *((FULL.name, f"projection {kind}") for kind in PROJECTIONS[1:]),
    *((FULL.name, name) for name in ("T=1", "T=2", "int8 blocks")),
]
_loaded: list[Clips] = []


def _load(setting: Setting) -> None:
    import torch

    torch.set_num_threads(1 if setting.device != "cpu" else torch.get_num_threads())
    _loaded[:] = [Clips(setting, "train", None).load(), Clips(setting, "held-out", 1).load()]


def _work(task: tuple[Condition, int]) -> tuple[str, dict]:
    condition, seed = task
    start = time.perf_counter()
    found = train_once(*_loaded, condition, seed)
    return f"{condition.name}|{seed}", found | {"seconds": time.perf_counter() - start}


def run_all(setting: Setting, jobs: int, seconds: float, only: str) -> dict[str, dict]:
    """Every run that lacks, several at a time, until time is up; all that are done, by `condition|seed`."""
    path = setting.work_dir / "runs.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    done = dict(map(json.loads, lines))
    tasks = [(c, s) for c, seeds in CONDITIONS for s in seeds if only in c.name and f"{c.name}|{s}" not in done]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs, _load, (setting,)) as pool, path.open("a") as file:
        waiting = pool.imap_unordered(_work, tasks)
        for _ in tasks:
            try:
                key, found = waiting.next(max(1.0, seconds - (time.monotonic() - start)))
            except multiprocessing.TimeoutError:
                click.echo("time is up: run again for the rest")
                pool.terminate()
                break
            done[key] = found
            file.write(json.dumps([key, found]) + "\n")
            file.flush()
            click.echo(f"{key}: top-1 {np.mean(found['right']):.4f}, {found['seconds']:.0f} s")
    return done


def by_condition(done: dict[str, dict]) -> dict[str, dict[str, np.ndarray]]:
    """condition -> name of a value -> (clips,) means over its seeds."""
    keys = {name: [key for key in done if key.rpartition("|")[0] == name] for name in dict.fromkeys(
        key.rpartition("|")[0] for key in done
    )}  # fmt: skip
    names = ("right", "agrees", "cosine")
    return {
        condition: {name: np.mean([done[key][name] for key in found], axis=0) for name in names}
        for condition, found in keys.items()
    }


def report(done: dict[str, dict], videos: list[str], teacher: float) -> dict:
    """Tables on the terminal; their figures."""
    means = by_condition(done)
    click.echo(f"\nteacher: top-1 {100 * teacher:.1f} % of {len(videos)} clips of {len(set(videos))} videos")
    click.echo("condition | seeds | top-1 | agreement | cosine | share of gradient: feature, response, task")
    table = {}
    for condition, values in means.items():
        runs = [found for key, found in done.items() if key.rpartition("|")[0] == condition]
        shares = {
            term: float(np.mean([r["shares"].get(term, 0) for r in runs])) for term in ("feature", "response", "task")
        }
        table[condition] = {name: round(float(value.mean()), 4) for name, value in values.items()}
        table[condition] |= {"seeds": len(runs), "shares": {k: round(v, 3) for k, v in shares.items()}}
        row = table[condition]
        click.echo(
            f"{condition} | {len(runs)} | {100 * row['right']:.1f} % | {100 * row['agrees']:.1f} % | "
            f"{row['cosine']:.3f} | " + ", ".join(f"{share:.2f}" for share in shares.values())
        )
    click.echo("difference | points | 95 % interval")
    differences = {}
    for first, second in COMPARED:
        if first in means and second in means:
            difference, limits = paired_difference(means[first]["right"], means[second]["right"], videos)
            found = [round(100 * x, 2) for x in (difference, *(limits or (np.nan, np.nan)))]
            differences[f"{first} - {second}"] = found
            click.echo(f"{first} - {second} | {found[0]:+.2f} | {found[1]:+.2f} to {found[2]:+.2f}")
    return {"table": table, "differences": differences}


@click.command()
@click.option("--cache-dir", type=click.Path(path_type=Path), required=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/ablation"))
@click.option("--size", default="tiny", show_default=True)
@click.option("--train-clips", type=int, default=1500, show_default=True)
@click.option("--epochs", type=int, default=40, show_default=True)
@click.option("--frames", type=int, default=4, show_default=True, help="Of a clip.")
@click.option("--batch-size", type=int, default=32, show_default=True)
@click.option("--lr", type=float, default=2e-3, show_default=True)
@click.option("--beta", type=float, default=0.1, show_default=True, help="Where a condition does not set its own.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Runs at a time.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--seconds", type=float, default=1e9, help="Stop after so many; run again for the rest.")
@click.option("--only", default="", help="Conditions with this in their name.")
def main(cache_dir: Path, work_dir: Path, jobs: int, seconds: float, only: str, **settings):
    work_dir.mkdir(parents=True, exist_ok=True)
    setting = Setting(cache_dir, work_dir, **settings)
    sides = [Clips(setting, "train", None), Clips(setting, "held-out", 1)]
    for side in sides:
        side.prepare(multiprocessing.cpu_count())
    held_out = sides[1].load()
    held_out.check()
    videos = [clip.video_uid for clip in held_out.dataset.clips]
    click.echo(f"{len(sides[0].dataset)} training clips, {len(videos)} held out")
    done = run_all(setting, jobs, seconds, only)
    figures = report(done, videos, _teacher_top1(held_out))
    finish("ablate", {**figures, "clips": [len(sides[0].dataset), len(videos)], **machine("torch", "timm", "numpy")})


def _teacher_top1(held_out: Clips) -> float:
    right = []
    for start in range(0, len(held_out.dataset), 256):
        batch = held_out.batch(list(range(start, min(start + 256, len(held_out.dataset)))), 0, 0, 0)
        logits = batch["logits"].sum(1)  # of the frames that are there: its largest is that of their mean
        right += (logits.argmax(1) == batch["label"]).tolist()
    return float(np.mean(right))


if __name__ == "__main__":
    main()
