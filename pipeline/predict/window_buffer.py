"""Windows of a stream of frame features: which frames each one has, and when it is complete. Bounded memory.

Window i is [first + i stride, first + i stride + length), to TIME_TOLERANCE_SEC. Windows end with the first one that
reaches the end of the source, which is cut there.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.cache.schema import TIME_TOLERANCE_SEC

MIN_SHARE = 0.5  # of the frames that a window should have


@dataclass(frozen=True)
class Window:
    """A complete window [start, end), in seconds.

    times: (n,) float64, of its frames. features: (n, D) float32. num_expected: frames that it should have.
    """

    start: float
    end: float
    times: np.ndarray
    features: np.ndarray
    num_expected: int

    @property
    def is_sufficient(self) -> bool:
        """Whether it has at least half of the frames that it should have."""
        return 0 < len(self.times) >= MIN_SHARE * self.num_expected


class WindowBuffer:
    """Collects frames in order of time, and yields windows as soon as they are complete.

    fps: times per second of the frames; None if they are at irregular times, such as key frames. is_live: a window is
    then complete with its last sampling time; otherwise with the first frame after it, since the source may end before.
    """

    def __init__(self, length: float, stride: float, fps: float | None, is_live: bool = False):
        self._length, self._stride, self._fps, self._is_live = length, stride, fps, is_live
        self._latest_end = -math.inf  # of the windows so far
        self._first: float | None = None
        self._number = 0  # of the next window
        self._frames: deque[tuple[float, np.ndarray | None]] = deque()

    def add(self, time: float, features: np.ndarray | None) -> Iterator[Window]:
        """Add the frame at this time; the windows that are complete with it. features: (D,), None for a lost frame."""
        self._first = time if self._first is None else self._first
        yield from self._before(time)
        if time >= self._start - TIME_TOLERANCE_SEC:
            self._frames.append((time, features))
        if self._is_live and self._fps is not None:
            yield from self._before(time + 1 / self._fps)

    def finish(self, end: float) -> Iterator[Window]:
        """The last windows of a source that ends then."""
        if self._first is not None:
            while self._latest_end < end - TIME_TOLERANCE_SEC and self._start < end - TIME_TOLERANCE_SEC:
                yield self._window(min(self._end, end))

    def _before(self, time: float) -> Iterator[Window]:
        """The next windows, if they end by this time."""
        while time >= self._end - TIME_TOLERANCE_SEC:
            yield self._window(self._end)

    @property
    def _start(self) -> float:
        assert self._first is not None
        return self._first + self._number * self._stride

    @property
    def _end(self) -> float:
        return self._start + self._length

    def _window(self, end: float) -> Window:
        """The next window, cut at `end`; frames before the one after it are forgotten."""
        start, self._latest_end = self._start, end
        inside = [frame for frame in self._frames if start - TIME_TOLERANCE_SEC <= frame[0] < end - TIME_TOLERANCE_SEC]
        kept = [(time, features) for time, features in inside if features is not None]
        times = np.array([time for time, _ in kept], np.float64)
        features = np.stack([features for _, features in kept]) if kept else np.zeros((0, 0), np.float32)
        self._number += 1
        while self._frames and self._frames[0][0] < self._start - TIME_TOLERANCE_SEC:
            self._frames.popleft()
        return Window(start, end, times, features, self._num_expected(start, end, len(inside)))

    def _num_expected(self, start: float, end: float, num_inside: int) -> int:
        """Number of sampling times in [start, end)."""
        if self._fps is None:
            return num_inside
        assert self._first is not None
        bounds = [(second - self._first - TIME_TOLERANCE_SEC) * self._fps for second in (start, end)]
        return math.ceil(bounds[1]) - max(0, math.ceil(bounds[0]))
