"""Real videos at 1 fps, file by file: the whole job of ours against the peers', the worst first."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.decode_peers import OPENCV, TORCHCODEC, full, peers
from benchmarks.measuring import interleaved
from embedonce.pipeline.video.container import VideoError
from tests.support.videos import full_decode, sample

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
WORTH_TIMING_SEC = 0.05  # of work of a full decode or torchcodec; below that a file is opened rather than decoded
LEAST = {TORCHCODEC: 0.9, OPENCV: 1.0}  # times as long as ours, at least: what is to be reached


@dataclass(frozen=True)
class Measured:
    """One video: seconds of each contestant, wall and processor, and how ours went about it."""

    name: str
    codec: str
    way: str
    num_fed: int
    num_frames: int
    num_requested: int
    wall: dict[str, float]
    processor: dict[str, float]

    def ratio(self, peer: str, to: str = "rgb") -> float | None:
        """How many times longer the peer works, by processor time, which a busy machine distorts less."""
        return self.processor[peer] / self.processor[to] if peer in self.processor else None

    @property
    def worst(self) -> float:
        """The smallest ratio to a peer as a part of what it should be at least."""
        found = [self.ratio(peer) / least for peer, least in LEAST.items() if peer in self.processor]
        return min(found, default=float("inf"))


def files_in(folders: list[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".tsv")


def check_identity(path: Path, fps: float) -> int:
    """How many sampled frames have the planes of a full decode; AssertionError where one has not."""
    sampled, decoded = sample(path, fps), full_decode(path)
    for i, index in enumerate(sampled.requests.frame_index):
        if i in sampled.digests:
            assert sampled.digests[i] == decoded[index][1], f"{path}, frame {index}"
    return len(sampled.digests)


def compare_real(
    paths: list[Path], repeats: int, ours: dict[str, Callable[[Path], int]]
) -> tuple[dict, list[Measured]]:
    """(how many files decode, how many frames are identical), and what was measured of those worth it, worst first.

    ours: the whole job on a path, by what comes out: "rgb" as the peers make it, "canonical" as extraction does.
    """
    frames, files, found = 0, 0, []
    for path in paths:
        try:
            frames += check_identity(path, 1.0)
        except VideoError as error:
            click.echo(f"{path.name}: left out, {error}", err=True)
            continue
        files += 1
        found += _measured(path, repeats, ours)
    counts = {"files": files, "identical frames": frames}
    return counts, sorted(found, key=lambda one: one.worst)


def _measured(path: Path, repeats: int, ours: dict[str, Callable[[Path], int]]) -> Iterator[Measured]:
    """None or one."""
    calls = {name: partial(call, path) for name, call in ours.items()} | {"full": partial(full, path)}
    calls |= {name: call for name, call in peers(path, 1.0).items() if name in LEAST}
    with _Quiet():
        if not _is_worth_it(interleaved(calls, 1)):
            return
        processor: dict[str, float] = {}
        wall = interleaved(calls, repeats, processor)
    if not _is_worth_it(processor):
        return
    sampled = sample(path, 1.0)
    counts = (sampled.num_fed, len(sampled.timeline.pts), len(sampled.requests.pts))
    measured = Measured(path.name, sampled.timeline.codec, sampled.way, *counts, wall, processor)
    ratios = {peer: round(measured.ratio(peer), 2) for peer in calls if peer not in ours}
    click.echo(f"{path.name}: {ratios}", err=True)
    yield measured


def _is_worth_it(seconds: dict[str, float]) -> bool:
    return max(seconds["full"], seconds.get(TORCHCODEC, 0.0)) >= WORTH_TIMING_SEC


class _Quiet:
    """FFmpeg inside the peers writes to the descriptor itself: that is kept away meanwhile."""

    def __enter__(self):
        self._kept = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_):
        os.dup2(self._kept, 2)
        os.close(self._kept)


def table(found: list[Measured]) -> str:
    """The measurements in Markdown, as docs/benchmarks.md shows them."""
    lines = [
        "| video | codec | packets decoded | frames requested | torchcodec exact / ours | OpenCV / ours | "
        "full decode / ours | canonical frames instead: torchcodec / ours | ours, s | way |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        ratios = [one.ratio(TORCHCODEC), one.ratio(OPENCV), one.ratio("full"), one.ratio(TORCHCODEC, "canonical")]
        shown = " | ".join("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        counts = f"{one.num_fed} of {one.num_frames} | {one.num_requested}"
        lines.append(f"| {one.name} | {one.codec} | {counts} | {shown} | {one.processor['rgb']:.3f} | {one.way} |")
    return "\n".join(lines)
