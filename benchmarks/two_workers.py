"""The simulated cluster against a real one: two parts of the same videos, each on a core of its own.

    python -m benchmarks.two_workers --work-dir results/benchmarks

The videos are copies of made footage, of many lengths. Costs are measured first, on the same machine; so is what a
worker takes to start. Then `--part 1/2` and `--part 2/2` run at the same time, and are compared with the simulation.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

from benchmarks.cluster.assignments import Parts
from benchmarks.cluster.simulation import Cluster, Simulation
from benchmarks.cluster.workload import SimulatedVideo
from benchmarks.footage import KINDS, footage, repeated, smaller
from benchmarks.measuring import finish, machine
from benchmarks.safety import fresh
from benchmarks.unit_costs import commit_costs, teacher_costs, video_costs

SHARD_FRAMES = 64
COPIES = {"vp9, libvpx": (1, 2, 3, 4), "h264, x264's defaults": (1, 2)}  # kind -> copies of it in one video
OPTIONS = ("--decode-workers", "1", "--fps", "1", "--views", "0", "--batch-size", "16")
COMMAND = ("-m", "embedonce.cli", "extract-teacher", *OPTIONS)


def make_folder(work_dir: Path) -> Path:
    """Videos of several lengths in two codecs, with 540 lines."""
    folder = fresh(work_dir / "two_workers" / "videos")
    folder.mkdir(parents=True)
    for kind, counts in COPIES.items():
        source = smaller(footage(work_dir / "footage", kind), kind, 540)
        for count in counts:
            copy = repeated(source, count * KINDS[kind][2])
            (folder / copy.name).hardlink_to(copy)
    return folder


class Run:
    """One extraction in a process that is bound to one core."""

    def __init__(self, core: int, videos: Path, cache: Path, teacher: str, *options: str):
        words = [sys.executable, *COMMAND, "--teacher-size", teacher, "--shard-frames", str(SHARD_FRAMES), *options]
        words += ["--data-dir", str(videos), "--cache-dir", str(cache), "--teacher-weights", "random"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip

    def wait(self) -> None:
        _, errors = self.process.communicate()
        if self.process.returncode:
            raise click.ClickException(errors)


def timed(runs) -> tuple[float, float]:
    """(wall seconds, processor seconds of all processes) until these runs, started by the call, end."""
    start, before = time.perf_counter(), _children_sec()
    for run in runs():
        run.wait()
    return time.perf_counter() - start, _children_sec() - before


def _children_sec() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def simulated_videos(folder: Path, teacher: str, work_dir: Path, repeats: int) -> list[SimulatedVideo]:
    """The videos with their measured costs, in the order of the listing."""
    per_row = teacher_costs(repeats)[teacher]["cpu_sec"]
    commit = commit_costs(work_dir / "two_workers" / "commits", repeats)
    per_row += commit["cpu_sec"] / commit["rows"]
    videos = []
    for path in sorted(folder.iterdir()):
        costs = video_costs(path, repeats)
        row_sec = costs.decode_cpu_sec_per_row + per_row
        videos.append(
            SimulatedVideo(path.name, costs.video_sec, costs.rows, costs.scan_cpu_sec, row_sec, costs.num_bytes)
        )
    return videos


def predicted(videos: list[SimulatedVideo], workers: int, startup_sec: float) -> dict[str, float]:
    dealt = Parts(videos, workers, None, SHARD_FRAMES, lambda video: video.num_bytes)
    cluster = Cluster(workers, lanes=1, startup_sec=startup_sec)
    account = Simulation(cluster, dealt, sum(video.rows for video in videos), 0).run()
    return {"wall": account.makespan_sec, "cpu": account.working_sec + account.startup_sec}


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--teacher", default="demo", show_default=True, help="Its --teacher-size.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
def main(work_dir: Path, teacher: str, repeats: int):
    folder, caches = make_folder(work_dir), work_dir / "two_workers" / "caches"
    videos = simulated_videos(folder, teacher, work_dir, repeats)
    alone = work_dir / "two_workers" / "alone"
    fresh(alone).mkdir()
    first = min(videos, key=lambda video: video.work_sec)
    (alone / first.uid).hardlink_to(folder / first.uid)
    one, two, starts = [], [], []
    for _ in range(repeats):
        fresh(caches).mkdir()
        starts.append(timed(lambda: [Run(0, alone, caches / "start", teacher)]))
        one.append(timed(lambda: [Run(0, folder, caches / "one", teacher)]))
        two.append(timed(lambda: [Run(i, folder, caches / "two", teacher, "--part", f"{i + 1}/2") for i in range(2)]))
    startup_sec = median(cpu for _, cpu in starts) - first.work_sec
    found = {"startup, s of CPU": round(startup_sec, 2)}
    for workers, measured in ((1, one), (2, two)):
        expected = predicted(videos, workers, startup_sec)
        for name, index in (("wall", 0), ("cpu", 1)):
            seconds = median(run[index] for run in measured)
            found[f"{workers} workers, {name}, s"] = round(seconds, 2)
            found[f"{workers} workers, {name}, predicted, s"] = round(expected[name], 2)
            found[f"{workers} workers, {name}, all rounds"] = [round(run[index], 2) for run in measured]
    finish("two_workers", {**found, "teacher": teacher, "rows": sum(v.rows for v in videos), **machine("av", "torch")})


if __name__ == "__main__":
    main()
