"""Core-hours and bytes of a data set from measured costs, in closed form."""

from dataclasses import dataclass

from benchmarks.cluster.costs import UnitCosts

HOUR = 3600.0


@dataclass(frozen=True)
class Estimate:
    """Processor time of one core, in hours, by stage. terabytes: of the cache, one view, without logits."""

    scan: float
    decode: float
    teacher: float
    commit: float
    rows: int
    terabytes: float

    @property
    def total(self) -> float:
        return self.scan + self.decode + self.teacher + self.commit


def estimate(
    costs: UnitCosts, kind: str, teacher: str, video_hours: float, fps: float, shard_frames: int, row_bytes: int
) -> Estimate:
    """All videos are like the measured file `kind`. row_bytes: of a row besides its JPEG."""
    like = costs.video(kind)
    rows = round(video_hours * HOUR * fps)
    return Estimate(
        scan=video_hours * like.scan_cpu_sec / like.video_sec,
        decode=rows * like.decode_cpu_sec_per_row / HOUR,
        teacher=rows * costs.embed_sec[teacher] / HOUR,
        commit=rows / shard_frames * costs.commit_sec / HOUR,
        rows=rows,
        terabytes=rows * (like.bytes_per_row + row_bytes) / 1e12,
    )
