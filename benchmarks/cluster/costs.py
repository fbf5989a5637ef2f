"""Measured costs of extraction, as benchmarks.unit_costs writes them, and what they make of a video."""

import json
from dataclasses import dataclass
from pathlib import Path

MIN_SPREAD_SEC, MIN_LINES = 2.0, 360  # of files whose costs are compared: others measure opening and JPEG
UNIT_COSTS = Path(__file__).with_name("unit_costs.json")


@dataclass(frozen=True)
class VideoCosts:
    """One measured file. video_sec: its length. rows: sampled frames. Seconds are for the whole file, on one thread."""

    name: str
    codec: str
    width: int
    height: int
    video_sec: float
    num_bytes: int
    frames: int
    rows: int
    bytes_per_row: int
    scan_cpu_sec: float
    scan_wall_sec: float
    decode_cpu_sec: float
    decode_wall_sec: float

    @property
    def scan_cpu_sec_per_minute(self) -> float:
        return 60 * self.scan_cpu_sec / self.video_sec

    @property
    def decode_cpu_sec_per_row(self) -> float:
        """With resizing, JPEG and the crop of one view."""
        return self.decode_cpu_sec / self.rows


@dataclass(frozen=True)
class UnitCosts:
    """All measured costs of one machine, in seconds of processor time.

    embed_sec: teacher (--teacher-size) -> for one image. commit_sec: for one full shard. fps: at which videos were
    sampled.
    """

    machine: dict
    fps: float
    videos: tuple[VideoCosts, ...]
    embed_sec: dict[str, float]
    commit_sec: float

    @property
    def spread(self) -> tuple[tuple[float, float], ...]:
        """(decoding, bytes) of each comparable file per pixel of its frames, as multiples of their means."""
        videos = [video for video in self.videos if video.video_sec >= MIN_SPREAD_SEC and video.height >= MIN_LINES]
        pixels = [video.width * video.height * video.frames for video in videos]
        decoding = [video.decode_cpu_sec / count for video, count in zip(videos, pixels, strict=True)]
        size = [video.num_bytes / count for video, count in zip(videos, pixels, strict=True)]
        means = sum(decoding) / len(videos), sum(size) / len(videos)
        return tuple((a / means[0], b / means[1]) for a, b in zip(decoding, size, strict=True))

    def video(self, name: str) -> VideoCosts:
        """KeyError if this file was not measured."""
        return {video.name: video for video in self.videos}[name]


def read_unit_costs(path: Path = UNIT_COSTS) -> UnitCosts:
    document = json.loads(path.read_text())
    return UnitCosts(
        machine=document["machine"],
        fps=document["fps"],
        videos=tuple(VideoCosts(**video) for video in document["videos"]),
        embed_sec={name: times["cpu_sec"] for name, times in document["teachers"].items()},
        commit_sec=document["commit"]["cpu_sec"],
    )
