"""The ranges of numeric settings: wide enough for any use, narrow enough for the code that computes with them."""

import math
from dataclasses import dataclass

from embedonce.cache.limits import (
    MAX_FPS,
    MAX_FRAMES_PER_CLIP,
    MAX_INPUT_SIZE,
    MAX_SHORT_SIDE,
    MAX_VIEWS,
    MIN_FPS,
    MIN_VIEW_AREA,
)

MAX_SEED = 2**63 - 1  # of a signed 64-bit integer, as the cache's identity stores it
MAX_PROCESSES = 256
MAX_SHARD_FRAMES = 1 << 16
MAX_BATCH_SIZE = 1 << 16
MAX_COUNT = 10**9
MAX_REPEATS = 10**6  # epochs, steps and the like
MAX_LOSS_WEIGHT = 1e6
MAX_GIGABYTES = 1e6


@dataclass(frozen=True)
class Range:
    """The numbers that a setting accepts; NaN and infinity are never among them.

    minimum and maximum are included, unless includes_minimum or includes_maximum is False; None: no limit.
    smallest: of the numbers above an excluded minimum, the smallest one that is accepted.
    text: the range as error messages state it; by default only the limit that was violated.
    """

    minimum: float | None = None
    maximum: float | None = None
    includes_minimum: bool = True
    includes_maximum: bool = True
    smallest: float = 0.0
    text: str = ""

    def violation(self, value: object) -> str | None:
        """What the value must be (`"at most 256"`) if it is outside the range; None if it is inside."""
        limit = self._violated_limit(value)
        return limit and (self.text or limit)

    def _violated_limit(self, value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # NaN
            return self._lower_limit() or "a number"
        if self.minimum is not None and (value < self.minimum or (value == self.minimum and not self.includes_minimum)):
            return self._lower_limit()
        if self.smallest and value < self.smallest:
            return f"at least {self.smallest:g}"
        if self.maximum is not None and (value > self.maximum or (value == self.maximum and not self.includes_maximum)):
            return f"{'at most' if self.includes_maximum else 'less than'} {_number(self.maximum)}"
        if value in (math.inf, -math.inf):
            return self._lower_limit() or "a finite number"
        return None

    def _lower_limit(self) -> str:
        if self.minimum is None:
            return ""
        number = _number(self.minimum)
        return f"{number} or more" if self.includes_minimum else f"greater than {number}"


def positive(maximum: float | None = None, smallest: float = 0.0) -> Range:
    """Numbers greater than 0."""
    return Range(0, maximum, includes_minimum=False, smallest=smallest)


def non_negative(maximum: float | None = None) -> Range:
    """0 and greater numbers."""
    return Range(0, maximum)


SEED = non_negative(MAX_SEED)
FPS = positive(MAX_FPS, smallest=MIN_FPS)
VIEWS = non_negative(MAX_VIEWS)
VIEW_AREA = positive(1, smallest=MIN_VIEW_AREA)
SHORT_SIDE = positive(MAX_SHORT_SIDE)
INPUT_SIZE = positive(MAX_INPUT_SIZE)
FRAMES_PER_CLIP = positive(MAX_FRAMES_PER_CLIP)
COUNT = positive(MAX_COUNT)
REPEATS = positive(MAX_REPEATS)
BATCH_SIZE = positive(MAX_BATCH_SIZE)
WORKERS = non_negative(MAX_PROCESSES)
LOSS_WEIGHT = non_negative(MAX_LOSS_WEIGHT)
GIGABYTES = non_negative(MAX_GIGABYTES)
FRACTION = Range(0, 1, includes_maximum=False, text="at least 0 and below 1")
SHARE = Range(0, 1, text="from 0 to 1")


def _number(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else format(limit, "g")
