"""extract-teacher against other tools: same videos, same teacher, one frame a second, each a whole process, in turns.

    make bench-extract
    python -m benchmarks.extract_peers --videos FOLDER_OF_1080P_VIDEOS --teachers demo,ViT-B/32 --table FILE

Peers run in an environment of their own, .bench-venv; one that cannot run is listed with the reason. Without --videos
four videos are made of the real ones that tests use, in each of the encodings of benchmarks/enlarged.py. The limit is
what this machine could reach at most: the processor seconds of the stages by themselves, spread over all cores.
"""

import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import av
import click
import numpy as np

from benchmarks.embeddings import Agreement, agreement, of_cache, of_peer
from benchmarks.enlarged import ENCODINGS, enlarged_videos, shortest_video
from benchmarks.extract_contestants import (
    CHECKOUT,
    NOT_INSTALLABLE,
    OURS,
    PEERS,
    TEACHERS,
    environment,
    ours,
    peer,
    version,
    why_not,
)
from benchmarks.extract_limit import isolated_stages
from benchmarks.extract_table import table
from benchmarks.measuring import finish, machine
from benchmarks.process_usage import CommandError, Usage, measure
from embedonce.pipeline.processes.cores import usable_cores

PACKAGES = ("opencv-python-headless", "torchcodec", "decord", "ray")
START_ROUNDS = 3  # in which starting and ending is measured
GPU = "not measured: on a machine with one, add --device cuda to both sides and run this again"


@dataclass(frozen=True)
class Contestant:
    """Medians of the runs of one contestant. start_sec: of a run on a video of a second. failure: why it has none."""

    name: str
    usage: Usage | None = None
    start_sec: float = 0.0
    agreement: Agreement | None = None
    failure: str = ""


def compare(
    teacher: str, peers: list[str], videos: Path, work_dir: Path, python: Path, rounds: int
) -> list[Contestant]:
    """All contestants with one teacher, ours first. Every round begins with another one."""
    missing = {name: why_not(name, python) for name in peers}
    names = [OURS, *(name for name in peers if missing[name] is None)]
    runs: dict[str, list[Usage]] = {name: [] for name in names}
    starts: dict[str, list[Usage]] = {name: [] for name in names}
    failures = {name: reason for name, reason in missing.items() if reason} | NOT_INSTALLABLE
    shortest = shortest_video(work_dir / "enlarged").parent
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name in failures:
                continue
            try:
                if turn < START_ROUNDS:
                    starts[name].append(_run(name, teacher, shortest, work_dir, python))
                runs[name].append(_run(name, teacher, videos, work_dir, python))
            except CommandError as error:
                failures[name] = str(error)
                continue
            click.echo(f"{teacher}, round {turn}, {name}: {runs[name][-1].wall_sec:.1f} s", err=True)
    expected = of_cache(_output(work_dir, OURS))
    found = [Contestant(OURS, _median(runs[OURS]), _median(starts[OURS]).wall_sec)]
    for name in names[1:]:
        if name not in failures:
            same = agreement(expected, of_peer(_output(work_dir, name)))
            found.append(Contestant(name, _median(runs[name]), _median(starts[name]).wall_sec, same))
    return found + [Contestant(name, failure=f"not measured: {reason}") for name, reason in failures.items()]


def _run(name: str, teacher: str, videos: Path, work_dir: Path, python: Path) -> Usage:
    output = _output(work_dir, name)
    shutil.rmtree(output, ignore_errors=True)
    if name == OURS:
        return measure(ours(teacher, videos, output), environment(), CHECKOUT)
    output.mkdir(parents=True)
    return measure(peer(name, python, teacher, videos, output), environment(), CHECKOUT)


def _output(work_dir: Path, name: str) -> Path:
    return (work_dir / "extract_peers" / name.replace(" ", "-")).resolve()


def _median(runs: list[Usage]) -> Usage:
    numbers = {name: [] for name in ("wall_sec", "cpu_sec", "parent_mb", "child_mb", "all_mb")}
    for name, values in numbers.items():
        values += [getattr(run, name) for run in runs]
    return replace(runs[-1], output="", **{name: float(np.median(values)) for name, values in numbers.items()})


def _seconds(videos: Path) -> float:
    """The length of all videos together."""
    total = 0.0
    for path in sorted(videos.iterdir()):
        with av.open(str(path)) as container:
            total += (container.duration or 0) / av.time_base
    return total


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), help="Folder.")
@click.option("--seconds", type=int, default=120, show_default=True, help="Length of each video that is made.")
@click.option("--teachers", default=",".join(TEACHERS), show_default=True)
@click.option("--peers", default=":".join(PEERS), show_default=True, help="Which of them, with colons between.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--peers-python", type=click.Path(path_type=Path), default=Path(".bench-venv/bin/python"))
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--limit/--no-limit", default=True, show_default=True, help="Also measure the stages by themselves.")
@click.option("--table", "table_path", type=click.Path(path_type=Path), help="Write the tables in Markdown here.")
def main(
    videos: Path | None,
    seconds: int,
    teachers: str,
    peers: str,
    work_dir: Path,
    peers_python: Path,
    rounds: int,
    limit: bool,
    table_path: Path | None,
):
    """Measure, and end with one line of JSON."""
    python = peers_python.absolute()  # not resolved: it is a link to the system's interpreter
    made = {name: partial(enlarged_videos, work_dir / "enlarged", seconds, name) for name in ENCODINGS}
    folders = {str(videos): videos} if videos else {name: make()[0].parent for name, make in made.items()}
    figures: dict = {"machine": machine("av", "torch", "open_clip_torch") | {"cores usable": usable_cores()}}
    figures["peers"] = {package: version(python, package) for package in PACKAGES}
    figures |= {"rounds": rounds, "GPU": GPU}
    texts = []
    for teacher, (name, folder) in product(teachers.split(","), folders.items()):
        length, what = _seconds(folder), f"{teacher}, {name}"
        found = compare(teacher, peers.split(":"), folder.resolve(), work_dir, python, rounds)
        stages = isolated_stages(teacher, folder) if limit else {}
        texts.append(f"{what}:\n\n{table(found, length, stages)}")
        click.echo(texts[-1], err=True)
        figures[what] = [asdict(one) for one in found]
        figures[f"{what}, stages by themselves, processor s"] = stages
        figures[f"{what}, videos, s"] = round(length, 1)
    if table_path:
        table_path.parent.mkdir(parents=True, exist_ok=True)
        table_path.write_text("\n\n".join(texts) + "\n", "utf-8")
    finish("extract_peers", figures)


if __name__ == "__main__":
    main()
