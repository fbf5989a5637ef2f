"""Where packets of an MPEG transport stream are lost, by their counters. Knows bytes, and no decoder.

References are to ISO/IEC 13818-1. Each stream's packets count from 0 to 15 and around (section 2.4.3.3).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SYNC = 0x47
PACKET_SIZES = (188, 192, 204)  # plain; with a time stamp in front (Blu-ray, cameras); with error correction behind
HEADER = 6  # bytes that are looked at of each packet, from its sync byte on
PACKETS_PER_READ = 65536
SEARCHED = 1_000_000  # bytes in which packets must begin anew after others that cannot be read


@dataclass(frozen=True)
class Counters:
    """What the headers of one stream's packets say.

    gaps: (g,) int64, increasing: positions in the file, in bytes, of the sync bytes of packets before which others are
    missing, or that their receiver marked as damaged. scrambled: fraction of the packets that are encrypted.
    """

    gaps: np.ndarray
    scrambled: float


def read_counters(path: Path, pid: int) -> Counters:
    """Read the headers of all packets of the stream with this packet identifier. OSError where it cannot be read."""
    reader = _Reader(pid)
    with path.open("rb") as file:
        position, size = _next_packets(file, 0)
        while position is not None:
            file.seek(position)
            data = file.read(size * PACKETS_PER_READ)
            count = len(data) // size
            rows = np.frombuffer(data, np.uint8, count * size).reshape(count, size)[:, :HEADER]
            broken = np.flatnonzero(rows[:, 0] != SYNC)
            whole = int(broken[0]) if len(broken) else count
            reader.read(rows[:whole], position, size)
            position += whole * size
            if whole < count:
                position, size = _next_packets(file, position + 1)
                reader.is_cut = True
            elif count < PACKETS_PER_READ:
                break
    return reader.counters()


class _Reader:
    """Follows the counter of one stream. is_cut: what came before the next packets could not be read."""

    def __init__(self, pid: int):
        self._pid, self._last, self.is_cut = pid, None, False
        self._gaps: list[np.ndarray] = []
        self._num_packets = self._num_scrambled = 0

    def read(self, rows: np.ndarray, position: int, size: int) -> None:
        """rows: (p, HEADER) uint8, the beginnings of packets of this size that lie from this position on."""
        wide = rows.astype(np.int64)
        mine = np.flatnonzero((wide[:, 1] & 31) << 8 | wide[:, 2] == self._pid)
        if not len(mine):
            return
        wide = wide[mine]
        has_payload, has_field = wide[:, 3] >> 4 & 1, wide[:, 3] >> 5 & 1
        counter = wide[:, 3] & 15
        before = np.concatenate([[counter[0] - has_payload[0] if self._last is None else self._last], counter[:-1]])
        is_told = (has_field == 1) & (wide[:, 4] > 0) & (wide[:, 5] & 0x80 > 0)  # discontinuity_indicator
        is_gap = ((before + has_payload) % 16 != counter) & ~is_told
        is_gap |= wide[:, 1] & 0x80 > 0  # transport_error_indicator
        is_gap[0] |= self.is_cut and self._last is not None
        self._gaps.append(position + size * mine[is_gap])
        self._last, self.is_cut = int(counter[-1]), False
        self._num_packets += len(mine)
        self._num_scrambled += int((wide[:, 3] >> 6 > 0).sum())

    def counters(self) -> Counters:
        gaps = np.concatenate([np.zeros(0, np.int64), *self._gaps])
        return Counters(gaps, self._num_scrambled / max(self._num_packets, 1))


def _next_packets(file, position: int) -> tuple[int | None, int]:
    """(position, size) of the first packets from here on, known by three sync bytes; None where there are none."""
    file.seek(position)
    data = np.frombuffer(file.read(SEARCHED), np.uint8)
    is_sync = data == SYNC
    found = []
    for size in PACKET_SIZES:
        span = len(data) - 2 * size
        if span > 0:
            at = np.flatnonzero(is_sync[:span] & is_sync[size : size + span] & is_sync[2 * size :])
            found += [(int(at[0]), size)] if len(at) else []
    if not found:
        return None, PACKET_SIZES[0]
    at, size = min(found)
    return position + at, size
