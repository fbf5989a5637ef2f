"""How many decode processes keep this machine busy beside a teacher: whole extractions with each number, in turns.

    python -m benchmarks.decode_workers --workers 1,2,3,default

Two sets of 1080p videos of the same length: one with the demo teacher, which waits for frames, and one with ViT-B/32,
random weights and five views, which frames wait for.
"""

import shutil
from pathlib import Path

import click
import numpy as np

from benchmarks.enlarged import enlarged_videos
from benchmarks.extract_contestants import CHECKOUT, environment, ours
from benchmarks.measuring import finish, machine
from benchmarks.process_usage import Usage, measure
from embedonce.pipeline.processes.cores import usable_cores

DEFAULT = "default"
SETS = {  # name -> teacher, more options
    "waits for frames: demo teacher": ("demo", ()),
    "frames wait for it: ViT-B/32, 5 views": ("ViT-B/32", ("--views", "4")),
}


def compare(name: str, videos: Path, work_dir: Path, workers: list[str], rounds: int) -> dict[str, list[Usage]]:
    """number of decode processes -> its runs. Every round begins with another one."""
    teacher, options = SETS[name]
    output = (work_dir / "decode_workers").resolve()
    runs: dict[str, list[Usage]] = {count: [] for count in workers}
    for turn in range(rounds):
        for count in workers[turn % len(workers) :] + workers[: turn % len(workers)]:
            shutil.rmtree(output, ignore_errors=True)
            chosen = () if count == DEFAULT else ("--decode-workers", count)
            runs[count].append(measure(ours(teacher, videos, output, (*options, *chosen)), environment(), CHECKOUT))
            click.echo(f"{name}, {count}: {runs[count][-1].wall_sec:.1f} s", err=True)
    return runs


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), help="Folder of 1080p videos.")
@click.option("--seconds", type=int, default=60, show_default=True, help="Length of each video that is made.")
@click.option("--workers", default=f"1,2,3,{DEFAULT}", show_default=True)
@click.option("--sets", default="0,1", show_default=True, help="Which of the two sets.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rounds", type=int, default=5, show_default=True)
def main(videos: Path | None, seconds: int, workers: str, sets: str, work_dir: Path, rounds: int):
    """Measure, and end with one line of JSON."""
    folder = (videos or enlarged_videos(work_dir / "enlarged", seconds)[0].parent).resolve()
    figures: dict = {"machine": machine("av", "torch") | {"cores usable": usable_cores()}, "rounds": rounds}
    for name in (list(SETS)[int(number)] for number in sets.split(",")):
        runs = compare(name, folder, work_dir, workers.split(","), rounds)
        figures[name] = {
            count: {
                "s": round(float(np.median([run.wall_sec for run in found])), 1),
                "s, all": [round(run.wall_sec, 1) for run in found],
                "processor s": round(float(np.median([run.cpu_sec for run in found])), 1),
                "decode process, MB": round(max(run.child_mb for run in found)),
            }
            for count, found in runs.items()
        }
        click.echo(f"{name}: {figures[name]}", err=True)
    finish("decode_workers", figures)


if __name__ == "__main__":
    main()
