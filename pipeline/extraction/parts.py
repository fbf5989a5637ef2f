"""Deals the videos of one listing to the parts of `--part i/N`, without a coordinator.

Every part computes the whole assignment by itself, from the same listing, and works on its own videos.
"""

import heapq
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from embedonce.pipeline.sources.source import Source, Video, windows_by_video

PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Part:
    """One of `total` parts that share the videos of a listing. number: from 1 to total."""

    number: int
    total: int

    def __post_init__(self):
        if not 1 <= self.number <= self.total:
            raise ValueError(f"--part must be i/N with i from 1 to N, such as 2/8, got {str(self)!r}")

    @classmethod
    def parse(cls, text: str) -> "Part":
        """ "2/8" -> Part(2, 8). ValueError for everything that is not i/N with 1 <= i <= N < 1,000,000."""
        match = PART.fullmatch(text)
        if match is None:
            raise ValueError(f"--part must be i/N with i from 1 to N, such as 2/8, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def assign(costs: Mapping[str, float], num_parts: int) -> dict[str, int]:
    """uid -> the number of its part, from 1 to num_parts. Longest first, each to the part with the least cost so far.

    costs: uid -> estimated cost in any unit, such as bytes or seconds. They must be the same in every part, so take
    them from the listing and not from measurements of one machine. The order of `costs` makes no difference: videos of
    equal cost are taken in the order of their uids, and of equally loaded parts the one with fewest videos is chosen,
    then the first. ValueError if a cost is negative, infinite or NaN.
    """
    if num_parts < 1:
        raise ValueError(f"the number of parts must be at least 1, got {num_parts}")
    for uid, cost in costs.items():
        if not (math.isfinite(cost) and cost >= 0):
            raise ValueError(f"the cost of video {uid!r} must be a number from 0 on, got {cost}")
    lightest_first = [(0.0, 0, number) for number in range(1, num_parts + 1)]
    parts = {}
    for uid in sorted(costs, key=lambda uid: (-costs[uid], uid)):
        load, num_videos, number = lightest_first[0]
        parts[uid] = number
        heapq.heapreplace(lightest_first, (load + costs[uid], num_videos + 1, number))
    return parts


def chosen_names(source: Source, part: str | None) -> frozenset[str] | None:
    """names_of_part() for the value of --part, such as "2/8"; None without one: everything."""
    return None if part is None else names_of_part(source, Part.parse(part))


def names_of_part(source: Source, part: Part) -> frozenset[str]:
    """The uids of the videos, and the names of the files without any, that a part of a listing works on and counts.

    A video costs the bytes of those seconds that its clips cover: few if they cover little of it, all if its length is
    not listed.
    """
    windows = windows_by_video(source)
    costs = {video.uid: _num_bytes(video) * _share(video, windows.get(video.uid, ())) for video in source.videos}
    others = [name for name, _ in source.rejected] + list(source.withdrawn)
    part_of = assign(dict.fromkeys(others, 0.0) | costs, part.total)
    return frozenset(name for name, number in part_of.items() if number == part.number)


def _num_bytes(video: Video) -> int:
    try:
        return video.path.stat().st_size
    except OSError:
        return 0  # it is missing, and will be counted as such


def _share(video: Video, windows: Iterable[tuple[float, float]]) -> float:
    """The part of a video, from 0 to 1, that its clips cover; 1 if its length is not listed."""
    if video.listed_sec is None:
        return 1.0
    start_sec, end_sec = video.listed_sec
    covered, reached = 0.0, start_sec
    for first, last in sorted(windows):
        covered += max(0.0, min(last, end_sec) - max(first, reached))
        reached = max(reached, min(last, end_sec))
    return covered / (end_sec - start_sec) if end_sec > start_sec else 1.0
