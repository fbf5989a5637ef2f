"""The work that a cluster shares: videos with their costs, cut into units as a plan does."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.cluster.costs import UnitCosts
from embedonce.pipeline.extraction.pieces import MAX_PIECES, PIECE_PACKETS

PACKETS_PER_SEC = 30.0  # of video


@dataclass(frozen=True)
class SimulatedVideo:
    """Seconds are those of one lane (a core with its share of the teacher) of a worker of normal speed.

    scan_sec: to read its packets. row_sec: to decode, embed and commit one row. num_bytes: of its file. num_pieces: on
    which lanes of one worker may work at the same time.
    """

    uid: str
    video_sec: float
    rows: int
    scan_sec: float
    row_sec: float
    num_bytes: float
    num_pieces: int = 1

    @property
    def work_sec(self) -> float:
        return self.scan_sec + self.rows * self.row_sec


@dataclass(frozen=True)
class Rates:
    """What one second of video costs, in seconds of a lane. factors: (of decoding, of bytes) that videos differ by."""

    scan_sec: float
    decode_sec_per_row: float
    other_sec_per_row: float
    num_bytes: float
    fps: float
    factors: tuple[tuple[float, float], ...] = ((1.0, 1.0),)


def rates_of(costs: UnitCosts, kind: str, teacher: str, fps: float, shard_frames: int) -> Rates:
    """Rates of videos like the measured file `kind`, embedded by this teacher on the CPU (a --teacher-size).

    Their spread is that of all measured files, per pixel of a frame that the file holds.
    """
    like = costs.video(kind)
    other = costs.embed_sec[teacher] + costs.commit_sec / shard_frames
    return Rates(
        scan_sec=like.scan_cpu_sec / like.video_sec,
        decode_sec_per_row=like.decode_cpu_sec_per_row,
        other_sec_per_row=other,
        num_bytes=like.num_bytes / like.video_sec,
        fps=fps,
        factors=costs.spread,
    )


def make_videos(lengths: Sequence[float], rates: Rates, seed: int) -> list[SimulatedVideo]:
    """One video for each length, in random order. seed: decides the order and which factors each video has."""
    draw = random.Random(seed)
    shuffled = list(lengths)
    draw.shuffle(shuffled)
    videos = []
    for number, seconds in enumerate(shuffled):
        decoding, size = draw.choice(rates.factors)
        videos.append(
            SimulatedVideo(
                uid=f"{number:06d}",
                video_sec=seconds,
                rows=max(1, math.floor(seconds * rates.fps)),
                scan_sec=seconds * rates.scan_sec,
                row_sec=decoding * rates.decode_sec_per_row + rates.other_sec_per_row,
                num_bytes=size * seconds * rates.num_bytes,
            )
        )
    return videos


def with_pieces(videos: Sequence[SimulatedVideo]) -> list[SimulatedVideo]:
    """The same videos, cut as an extraction cuts them if every packet must be decoded."""
    counts = [min(MAX_PIECES, int(video.video_sec * PACKETS_PER_SEC / PIECE_PACKETS)) for video in videos]
    return [replace(video, num_pieces=max(1, count)) for video, count in zip(videos, counts, strict=True)]


def split_long(videos: Sequence[SimulatedVideo], max_rows: int) -> list[SimulatedVideo]:
    """Videos of at most max_rows rows in place of longer ones. Each of them needs a scan of the whole video."""
    pieces = []
    for video in videos:
        count = -(-video.rows // max_rows)
        bounds = [video.rows * i // count for i in range(count + 1)]
        for i in range(count):
            rows = bounds[i + 1] - bounds[i]
            share = rows / video.rows
            pieces.append(
                replace(
                    video,
                    uid=f"{video.uid}-{i:04d}" if count > 1 else video.uid,
                    video_sec=video.video_sec * share,
                    rows=rows,
                    num_bytes=video.num_bytes * share,
                    num_pieces=1,
                )
            )
    return pieces


def cut_rows(rows: Sequence[int], shard_frames: int) -> list[list[tuple[int, int]]]:
    """Units of at most shard_frames rows, each a list of (position of the video, rows), as cache.plan.cut_units."""
    units: list[list[tuple[int, int]]] = []
    room = 0
    for position, count in enumerate(rows):
        for start in range(0, count, shard_frames):
            piece = min(shard_frames, count - start)
            if piece > room:
                units.append([])
                room = shard_frames
            units[-1].append((position, piece))
            room -= piece
    return units
