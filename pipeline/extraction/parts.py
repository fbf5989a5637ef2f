"""Deals the videos of one listing to the parts of `--part i/N`, without a coordinator.

Every part computes the whole assignment by itself, from the same listing, and works on its own videos.
"""

import heapq
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

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
