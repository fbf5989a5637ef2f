"""Decoded crops of a dataset's frames in memory, kept from when they are first read and shared by loader processes."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from embedonce.pipeline.frames.canonical_frame import crc32
from embedonce.pipeline.processes.shared_memory import SharedMemory

_CHECK_BYTES = 4  # of the CRC-32 of a crop


class KeptCrops:
    """Crops (side, side, 3) uint8 of some frames of videos, in some views. Empty at first; num_bytes: when it is full.

    allocate() has to be called before loader processes start; they share what they decode. Every crop is compared with
    its CRC-32 when it is read, so that one that another process has not written to the end is decoded once more.
    """

    def __init__(self, frames: Iterable[tuple[str, np.ndarray]], views: range, side: int):
        """frames: videos, each with positions on its timeline; a video may occur several times."""
        self._views, self._side = views, side
        positions = defaultdict(list)
        for uid, rows in frames:
            positions[uid].append(rows)
        self._positions = {uid: np.unique(np.concatenate(rows)) for uid, rows in positions.items()}
        ends = np.cumsum([0, *(len(rows) for rows in self._positions.values())]) * len(views)
        self._first = dict(zip(self._positions, ends.tolist(), strict=False))
        self._count = int(ends[-1])
        self.num_bytes = self._count * (side * side * 3 + _CHECK_BYTES)
        self._memory: SharedMemory | None = None

    def allocate(self, is_shared: bool) -> None:
        """Reserve the memory, which is occupied crop by crop. OSError if it is not available or cannot be shared.

        is_shared: with loader processes.
        """
        if not is_shared:
            self._use(np.zeros(self.num_bytes, np.uint8))
            return
        self._memory = SharedMemory(max(1, self.num_bytes), is_occupied=False)
        weakref.finalize(self, self._memory.close)
        self._use(self._memory.array)

    def _use(self, values: np.ndarray) -> None:
        checks, crops = np.split(values[: self.num_bytes], [self._count * _CHECK_BYTES])
        self._checks = checks.view(np.uint32)
        self._crops = crops.reshape(self._count, self._side, self._side, 3)

    def __getstate__(self) -> dict:
        """For processes that are not forked: what they share, and none of its values."""
        return {name: value for name, value in vars(self).items() if name not in ("_checks", "_crops")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        if self._memory is not None:
            self._use(self._memory.array)

    def read(self, uid: str, at: np.ndarray, view: int, decode: Callable[[int], np.ndarray]) -> np.ndarray:
        """(T, side, side, 3) uint8, the crops of T frames at these positions, which are among those of the video.

        decode: returns the crop at a position of the video in this view; it is called for those that are not kept yet.
        """
        known = self._positions[uid]
        places = np.searchsorted(known, at)
        if not np.array_equal(known[np.minimum(places, len(known) - 1)], at):
            raise ValueError(f"frames {at.tolist()} of video {uid} are not all among those that there is room for")
        rows = self._first[uid] + places * len(self._views) + self._views.index(view)
        found = self._crops[rows]  # a copy
        kept = self._checks[rows]
        missing = (kept == 0) | (kept != crc32(found))
        for i in np.flatnonzero(missing).tolist():
            found[i] = self._crops[rows[i]] = decode(int(at[i]))
        self._checks[rows[missing]] = crc32(found[missing])
        return found
