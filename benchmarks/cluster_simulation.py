"""Ego4D on 1 to 512 workers, simulated with measured costs: time, waste, requests, by how videos are dealt.

    python -m benchmarks.unit_costs             # measures this machine, and replaces the figures in the repository
    python -m benchmarks.cluster_simulation

The lengths are Ego4D's as far as they are published (cluster/lengths.py). What is not measured is an option.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.cluster.assignments import Assignment, Parts, PartsInTurn, SharedQueue
from benchmarks.cluster.costs import UNIT_COSTS, read_unit_costs
from benchmarks.cluster.lengths import ego4d_lengths
from benchmarks.cluster.simulation import Cluster, Simulation
from benchmarks.cluster.workload import SimulatedVideo, make_videos, rates_of, split_long, with_pieces
from benchmarks.measuring import finish

WORKERS = (1, 8, 64, 512)
DEATHS_PER_DAY = (0, 1, 24)
KIND = "vp9.webm"  # 1080p VP9 at 4 Mbit/s, as Ego4D's canonical videos
PARTS_PER_WORKER = 8
HOUR = 3600.0


@dataclass(frozen=True)
class Variant:
    """One way to deal videos. chunk_hours: of video, planned together; None: waves. max_rows: longer ones are split."""

    name: str
    deal: Callable[[Sequence[SimulatedVideo], int, float | None, int], Assignment]
    chunk_hours: float | None = None
    max_rows: int | None = None

    @property
    def label(self) -> str:
        names = {None: "waves", math.inf: "planned at once", 0.0: "one video at a time"}
        chunk = names.get(self.chunk_hours) or f"{self.chunk_hours:g} h at a time"
        return f"{self.name}, {chunk}" + (f", pieces of {self.max_rows} rows" if self.max_rows else "")


def by_bytes(video: SimulatedVideo) -> float:
    return video.num_bytes


def by_seconds(video: SimulatedVideo) -> float:
    return video.video_sec


def parts(videos, workers, chunk_sec, shard_frames):
    """As `--part i/N` deals and works."""
    return Parts(videos, workers, chunk_sec, shard_frames, by_bytes)


def parts_longest_first(videos, workers, chunk_sec, shard_frames):
    return Parts(videos, workers, chunk_sec, shard_frames, by_bytes, longest_first=True)


def parts_by_seconds(videos, workers, chunk_sec, shard_frames):
    return Parts(videos, workers, chunk_sec, shard_frames, by_seconds, longest_first=True)


def parts_in_turn(videos, workers, chunk_sec, shard_frames):
    return PartsInTurn(videos, PARTS_PER_WORKER * workers, shard_frames, by_bytes)


def helping_parts(videos, workers, chunk_sec, shard_frames):
    return Parts(videos, workers, chunk_sec, shard_frames, by_bytes, longest_first=True, helps=True)


def queue(videos, workers, chunk_sec, shard_frames):
    return SharedQueue(videos, chunk_sec, shard_frames, by_bytes)


VARIANTS = (
    Variant("parts by bytes", parts),
    Variant("parts by bytes", parts, math.inf),
    Variant("parts by bytes, longest first", parts_longest_first),
    Variant("parts by seconds, longest first", parts_by_seconds),
    Variant(f"{PARTS_PER_WORKER} parts per worker in turn", parts_in_turn, math.inf),
    Variant("parts that help", helping_parts, 1.0),
    Variant("parts that help", helping_parts, 0.0, 2048),
    Variant("queue", queue, 8.0),
    Variant("queue", queue, 1.0),
    Variant("queue", queue, 0.0),
    Variant("queue", queue, 0.0, 2048),
)


def simulate(
    variant: Variant, videos: Sequence[SimulatedVideo], cluster: Cluster, shard_frames: int, seed: int
) -> dict[str, float]:
    """The figures of one simulated extraction."""
    pieces = split_long(videos, variant.max_rows) if variant.max_rows else videos
    chunk_sec = None if variant.chunk_hours is None else variant.chunk_hours * HOUR
    assignment = variant.deal(pieces, cluster.workers, chunk_sec, shard_frames)
    simulation = Simulation(cluster, assignment, sum(video.rows for video in pieces), seed)
    account, requests = simulation.run(), simulation.requests
    return {
        "hours": account.makespan_sec / HOUR,
        "efficiency": account.efficiency,
        "wasted": account.wasted_share,
        "first shard, s": account.first_commit_sec or 0.0,
        "deaths": account.deaths,
        "shards": account.units,
        "requests/s": sum(requests.total.values()) / account.makespan_sec,
        "highest requests/s": requests.highest_rate,
        "dollars": requests.dollars,
    }


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def row(figures: dict[str, float], alone_hours: float) -> str:
    """A row of the table in docs/scale.md."""
    return (
        f"{figures['hours']:.2f} | {alone_hours / figures['hours']:.1f} | {100 * figures['efficiency']:.1f} % | "
        f"{100 * figures['wasted']:.2f} % | {figures['first shard, s']:.0f} | {figures['requests/s']:.1f} | "
        f"{figures['highest requests/s']:.0f} | {figures['dollars']:.2f}"
    )


@click.command()
@click.option("--costs", type=click.Path(path_type=Path, exists=True), default=UNIT_COSTS, show_default=True)
@click.option("--kind", default=KIND, show_default=True, help="The measured file that all videos are like.")
@click.option("--teacher", default="base", show_default=True, help="Size of the teacher, on the CPU.")
@click.option("--fps", default=1.0, show_default=True)
@click.option("--workers", default=",".join(map(str, WORKERS)), show_default=True)
@click.option("--lanes", default=2, show_default=True, help="Cores of each worker.")
@click.option("--deaths-per-day", default=",".join(map(str, DEATHS_PER_DAY)), show_default=True, help="Of a worker.")
@click.option("--restart-sec", default=120.0, show_default=True, help="From death until a worker starts again.")
@click.option("--slow-share", default=0.02, show_default=True, help="Share of workers at half speed.")
@click.option("--speed-sigma", default=0.05, show_default=True, help="Spread of the speed of all others.")
@click.option("--dealing", default="", help="Only the ways to deal videos whose name contains this.")
@click.option("--shard-frames", default=512, show_default=True)
@click.option("--pieces/--no-pieces", default=True, show_default=True, help="Long videos use all cores of a worker.")
@click.option("--seeds", default=3, show_default=True, help="Simulations of which medians are taken.")
def main(
    costs, kind, teacher, fps, workers, lanes, deaths_per_day, dealing, shard_frames, pieces, seeds, **cluster_options
):
    measured = read_unit_costs(costs)
    rates = rates_of(measured, kind, teacher, fps, shard_frames)
    lengths = ego4d_lengths()
    workloads = [make_videos(lengths, rates, seed) for seed in range(seeds)]
    workloads = [with_pieces(videos) for videos in workloads] if pieces else workloads
    work_sec = median(sum(video.work_sec for video in videos) for videos in workloads)
    click.echo(f"{len(lengths)} videos, {work_sec / HOUR:.0f} core-hours of work: {rates}")
    click.echo("| workers | deaths a day | dealing | hours | speed-up | in use | wasted | first shard, s | requests/s "
               "| at most | $ |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    results = []
    for count in map(int, workers.split(",")):
        for rate in map(float, deaths_per_day.split(",")):
            cluster = Cluster(count, lanes, deaths_per_hour=rate / 24, **cluster_options)
            for variant in [each for each in VARIANTS if dealing in each.label]:
                runs = [simulate(variant, workloads[seed], cluster, shard_frames, seed) for seed in range(seeds)]
                figures = medians(runs)
                click.echo(f"| {count} | {rate:g} | {variant.label} | {row(figures, work_sec / lanes / HOUR)} |")
                results.append({"workers": count, "deaths per day": rate, "variant": variant.label, **figures})
    finish("cluster_simulation", {"core-hours": work_sec / HOUR, "machine": measured.machine, "results": len(results)})


if __name__ == "__main__":
    main()
