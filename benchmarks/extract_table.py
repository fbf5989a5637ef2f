"""The table of benchmarks.extract_peers in Markdown."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from embedonce.pipeline.processes.cores import usable_cores

if TYPE_CHECKING:
    from benchmarks.extract_peers import Contestant

HEAD = (
    "| | s | of it to start and end | processor s | parent, largest other process, all, MB | video-hours a day | "
    "ours is faster by | and with less work by | frames | of ours | cosine, median, worst |"
)


def table(contestants: Iterable["Contestant"], video_sec: float, stages: dict[str, float]) -> str:
    """One line for each contestant, ours first; then the limit. video_sec: of all videos together."""
    ours, *_ = found = list(contestants)
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    lines += [_line(one, ours, video_sec) for one in found]
    if stages and ours.usage:
        total, wall = sum(stages.values()), ours.usage.wall_sec
        parts = ", ".join(f"{name} {value:.1f}" for name, value in stages.items())
        at_best = total / usable_cores()
        whole, running = at_best / wall, at_best / max(wall - ours.start_sec, at_best)
        lines += [
            "",
            f"The stages by themselves take {total:.1f} s of processor time ({parts}): {at_best:.1f} s on "
            f"{usable_cores()} cores at best, {whole:.2f} of a whole run and {running:.2f} of one without starting and "
            "ending.",
        ]
    return "\n".join(lines)


def _line(one: "Contestant", ours: "Contestant", video_sec: float) -> str:
    if one.usage is None or ours.usage is None:
        return f"| {one.name} | {one.failure} |" + " |" * 9
    usage = one.usage
    cells = [
        one.name,
        f"{usage.wall_sec:.1f}",
        f"{one.start_sec:.1f}",
        f"{usage.cpu_sec:.1f}",
        f"{usage.parent_mb:.0f}, {usage.child_mb:.0f}, {usage.all_mb:.0f}",
        f"{video_sec / usage.wall_sec * 24:,.0f}",
        f"{usage.wall_sec / ours.usage.wall_sec:.2f}",
        f"{usage.cpu_sec / ours.usage.cpu_sec:.2f}",
    ]
    same = one.agreement
    agreed = ["", "", ""]
    if same is not None:
        agreed = [f"{same.frames}", f"{100 * same.same:.0f} %", f"{same.median:.4f}, {same.worst:.4f}"]
    return f"| {' | '.join(cells + agreed)} |"
