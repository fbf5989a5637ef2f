"""Find lost packets of an MPEG transport stream by their continuity counters. Reads bytes, no frames.

ISO/IEC 13818-1: the packets of each stream are counted from 0 to 15, cyclically (section 2.4.3.3).
"""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.video.location import VideoLocation

SYNC, STUFFING = 0x47, 0x1FFF  # the first byte of a packet; the identifier of those that hold nothing
PACKET_SIZES = (188, 192, 204)  # plain; with a time stamp in front (Blu-ray, cameras); with error correction behind
HEADER = 6  # bytes that are looked at of each packet, from its sync byte on
PACKETS_PER_READ = 65536
SEARCHED = 1_000_000  # bytes in which packets must begin anew after others that cannot be read


@dataclass(frozen=True)
class Counters:
    """What the packet headers of one stream show.

    All positions are file positions of packets' sync bytes, in bytes, increasing. gaps: (g,) int64, packets before
    which others are missing, or that are marked as damaged. breaks: (b,) int64, the first packets after unreadable
    data. others: (o,) int64, packets of other streams before which some are missing. scrambled: fraction of encrypted
    packets.
    """

    gaps: np.ndarray
    breaks: np.ndarray
    others: np.ndarray
    scrambled: float


def read_counters(path: VideoLocation, pid: int) -> Counters:
    """Read all packet headers. pid: the stream's packet identifier. OSError if the file cannot be read."""
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
                reader.follows_gap = True
            elif count < PACKETS_PER_READ:
                break
    return reader.counters()


class _Reader:
    """Follows the counters of all streams. is_cut: data before the next packets could not be read."""

    def __init__(self, pid: int):
        self._pid, self.follows_gap = pid, False
        self._last: dict[int, int] = {}  # each stream's last counter
        self._gaps, self._breaks, self._others = ([np.zeros(0, np.int64)] for _ in range(3))
        self._num_packets = self._num_scrambled = 0

    def read(self, rows: np.ndarray, position: int, size: int) -> None:
        """rows: (p, HEADER) uint8, the first bytes of packets of this size, from this position."""
        wide = rows.astype(np.int64)
        pids = (wide[:, 1] & 31) << 8 | wide[:, 2]
        for pid in np.unique(pids).tolist():
            if pid == STUFFING:
                continue
            at = np.flatnonzero(pids == pid)
            gaps = position + size * at[self._is_gap(pid, wide[at])]
            if pid != self._pid:
                self._others.append(gaps)
                continue
            self._gaps.append(gaps)
            if self.follows_gap:
                self._breaks.append(position + size * at[:1])
                self.follows_gap = False
            self._num_packets += len(at)
            self._num_scrambled += int((wide[at, 3] >> 6 > 0).sum())

    def _is_gap(self, pid: int, packets: np.ndarray) -> np.ndarray:
        """(p,) bool: packets of one stream before which others are missing, or that are marked as damaged."""
        has_payload, has_field, counter = packets[:, 3] >> 4 & 1, packets[:, 3] >> 5 & 1, packets[:, 3] & 15
        last = self._last.get(pid, int(counter[0] - has_payload[0]))
        before = np.concatenate([[last], counter[:-1]])
        is_told = (has_field == 1) & (packets[:, 4] > 0) & (packets[:, 5] & 0x80 > 0)  # discontinuity_indicator
        self._last[pid] = int(counter[-1])
        return (((before + has_payload) % 16 != counter) & ~is_told) | (packets[:, 1] & 0x80 > 0)

    def counters(self) -> Counters:
        gaps, breaks, others = (np.concatenate(found) for found in (self._gaps, self._breaks, self._others))
        return Counters(gaps, breaks, np.sort(others), self._num_scrambled / max(self._num_packets, 1))


def _next_packets(file, position: int) -> tuple[int | None, int]:
    """(position, size) of the next packets, found by three sync bytes; None if there are none."""
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
    first, size = min(found)
    return position + first, size
