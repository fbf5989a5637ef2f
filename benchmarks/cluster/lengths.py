"""The lengths of Ego4D's videos, as far as they are published."""

import math
from statistics import NormalDist

NUM_VIDEOS, HOURS = 9_821, 3_670  # Grauman et al., 2022, and the v2 release
LONGEST_SEC = 7 * 3600  # "from 5 sec to 7 hrs": Lin et al., 2022 (EgoVLP), section 3
STEPS = 60  # of halving an interval


def ego4d_lengths(num_videos: int = NUM_VIDEOS, hours: float = HOURS, longest_sec: float = LONGEST_SEC) -> list[float]:
    """Lengths in seconds, shortest first: the quantiles of the lognormal distribution with this mean and this longest.

    No distribution is published, only the number, the sum and the longest: of lognormal distributions, one fits them.
    ValueError if the longest video is not longer than the mean.
    """
    mean_sec = 3600 * hours / num_videos
    if num_videos < 2 or longest_sec <= mean_sec:
        raise ValueError(f"the longest video must be longer than the mean, {mean_sec:.0f} s, got {longest_sec:.0f} s")
    low, high = 0.0, 5.0
    for _ in range(STEPS):
        sigma = (low + high) / 2
        relative = _quantiles(num_videos, sigma)
        if relative[-1] * num_videos / sum(relative) < longest_sec / mean_sec:
            low = sigma
        else:
            high = sigma
    scale = num_videos * mean_sec / sum(relative)
    return [scale * value for value in relative]


def _quantiles(count: int, sigma: float) -> list[float]:
    """Of the lognormal distribution with median 1, in the middles of `count` equal shares."""
    normal = NormalDist()
    return [math.exp(sigma * normal.inv_cdf((i + 0.5) / count)) for i in range(count)]
