"""Core-hours for all of Ego4D, by codec and teacher, from the measured unit costs.

python -m benchmarks.ego4d_hours
"""

from pathlib import Path

import click

from benchmarks.cluster.costs import UNIT_COSTS, read_unit_costs
from benchmarks.cluster.estimates import estimate
from benchmarks.cluster.lengths import HOURS

KINDS = ("vp9.webm", "vp9-540.webm", "default.mp4", "default-540.mp4", "av1.mp4", "moviepy__no_duration.webm")
ROW_BYTES = 512 * 2 + 100  # an embedding of 512 dimensions, with times and checksums


@click.command()
@click.option("--costs", type=click.Path(path_type=Path, exists=True), default=UNIT_COSTS, show_default=True)
@click.option("--fps", default=1.0, show_default=True)
@click.option("--shard-frames", default=512, show_default=True)
def main(costs: Path, fps: float, shard_frames: int):
    """One row for each kind of video and teacher: core-hours by stage, and terabytes of cache."""
    measured = read_unit_costs(costs)
    click.echo("| videos like | teacher | scan | decode | teacher | commit | core-hours | TB |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        like = measured.video(kind)
        for teacher in measured.embed_sec:
            found = estimate(measured, kind, teacher, HOURS, fps, shard_frames, ROW_BYTES)
            click.echo(
                f"| {like.codec} {like.width}x{like.height} at {like.frames / like.video_sec:.0f} fps | {teacher} | "
                f"{found.scan:.0f} | {found.decode:.0f} | {found.teacher:.0f} | {found.commit:.1f} | "
                f"{found.total:,.0f} | {found.terabytes:.2f} |"
            )


if __name__ == "__main__":
    main()
