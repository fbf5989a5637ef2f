"""Find incomplete packets, gaps between packets, and times without frames as a consequence.

Only evidence counts: the container or the codec shows that something is missing. A long pause between frames without
such evidence is a held frame, as in screen recordings and timelapses. Arithmetic on the index and on what the container
readers found; decodes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from embedonce.pipeline.video.headers import fragments, matroska, transport_stream
from embedonce.pipeline.video.location import VideoLocation

REACH = 16  # packets: largest distance between decoding and display order
REPORTS_MISSING_BLOCKS = {"h264", "mpeg1video", "mpeg2video", "mpeg4"}  # decoders that report every missing macroblock


@dataclass(frozen=True)
class Losses:
    """Missing data, for n packets in decoding order.

    is_incomplete: (n,) bool, the packet itself is incomplete or unreadable.
    follows_gap: (n,) bool, packets are missing directly before this one.
    reasons: the kinds of evidence.
    """

    is_incomplete: np.ndarray
    follows_gap: np.ndarray
    reasons: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return bool(self.is_incomplete.any() or self.follows_gap.any())


@dataclass
class LossFinder:
    """Collects evidence of missing data.

    positions: (n,) int64 file positions of packets in bytes, -1 if unknown. is_start: as in PacketFacts.
    """

    positions: np.ndarray
    is_incomplete: np.ndarray
    follows_gap: np.ndarray
    is_start: np.ndarray
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, positions: np.ndarray, is_start: np.ndarray) -> "LossFinder":
        """A finder without evidence."""
        nothing = np.zeros(len(positions), bool)
        positions = np.maximum.accumulate(positions) if len(positions) else positions
        return cls(positions, nothing, nothing.copy(), is_start)

    def result(self) -> Losses:
        return Losses(self.is_incomplete.copy(), self.follows_gap.copy(), tuple(dict.fromkeys(self.reasons)))

    def add_skipped_data(self, position: int | None, arrived: int | None) -> None:
        """The demuxer skipped data: before packet number `arrived`, or somewhere before this position."""
        n, first = arrived, None
        if n is None and position is not None:
            n = int(np.searchsorted(self.positions, position, "right"))
            first = max(n - REACH, 0)
        if n is not None and 0 < n < len(self.is_incomplete):
            self.is_incomplete[n - 1 if first is None else first : n] = self.follows_gap[n] = True
            self.reasons.append("unreadable data")

    def add_counter_gaps(self, counters: transport_stream.Counters, codec: str) -> list[int]:
        """Packets of a transport stream are missing.

        If one is missing between two frames, the first frame may be incomplete; some decoders report that themselves.
        Returns the packet numbers at which both counters and decoding restart: another stream may have been appended
        there, with nothing missing.
        """
        joints = []
        for gap in np.union1d(counters.gaps, counters.breaks).tolist():
            following = int(np.searchsorted(self.positions, gap, "left"))
            is_between = following < len(self.positions) and self.positions[following] == gap
            if not following:
                continue  # before the first frame
            is_reported = is_between and codec in REPORTS_MISSING_BLOCKS and gap not in counters.breaks
            if is_reported and self.is_start[following]:
                joints.append(following)
                continue
            self.is_incomplete[following - 1] |= not is_reported
            if following < len(self.follows_gap):
                self.follows_gap[following] = True
            self.reasons.append("gaps in its packet counters")
        return joints

    def add_frame_number_gaps(self, follows_gap: np.ndarray) -> None:
        """(n,) bool: frame numbers show that frames before these are missing. The previous packet may be incomplete."""
        numbers = np.flatnonzero(follows_gap & ~self.follows_gap)
        if len(numbers):
            self.is_incomplete[numbers - 1] = self.follows_gap[numbers] = True
            self.reasons.append("gaps in its frame numbers")

    def add_marked_packets(self, is_corrupt: np.ndarray) -> None:
        """(n,) bool: the container marks these packets as corrupt."""
        if is_corrupt.any():
            self.is_incomplete |= is_corrupt
            self.reasons.append("its container marks packets as corrupt")

    def add_encrypted_packets(self, is_encrypted: np.ndarray) -> None:
        """(n,) bool: these packets are encrypted."""
        if is_encrypted.any():
            self.is_incomplete |= is_encrypted
            self.reasons.append("encrypted packets")

    def add_missing_fragments(self, positions: Iterable[int]) -> None:
        """Fragments are missing before the ones at these positions."""
        for position in positions:
            n = int(np.searchsorted(self.positions, position, "left"))
            if 0 < n < len(self.follows_gap):
                self.follows_gap[n] = True
                self.reasons.append("missing fragments")

    def add_index_gaps(self, spans: Iterable[tuple[int, int]], pauses: "Pauses") -> None:
        """The container's index lists frames between these pts that are missing: at the pauses in between."""
        for start, stop in spans:
            self._end(pauses.numbers[(pauses.starts >= start) & (pauses.starts < stop)], "frames listed in its index")

    def add_gaps_nearby(self, gaps: np.ndarray, joints: list[int], pauses: "Pauses") -> None:
        """Packets of other streams are missing at these positions, or streams were joined before these packets.

        Video frames are missing too if there is a pause nearby.
        """
        at = np.union1d(np.searchsorted(self.positions, gaps, "right"), np.array(joints, np.int64))
        is_near = np.array([bool((np.abs(at - n) <= REACH).any()) for n in pauses.numbers.tolist()], bool)
        self._end(pauses.numbers[is_near], "gaps in its packet counters")

    def _end(self, numbers: np.ndarray, reason: str) -> None:
        """Packets are missing before these, unless a gap nearby is known already."""
        known = np.flatnonzero(self.follows_gap)
        for n in numbers.tolist():
            if not (np.abs(known - n) <= REACH).any():
                self.follows_gap[n] = True
                self.reasons.append(reason)


@dataclass(frozen=True)
class Pauses:
    """Places where a frame is displayed for longer than is plausible.

    pts: (m,) int64 of all frames in display order. starts: (p,) int64 pts of the frames before a pause. numbers: (p,)
    int64, the first packets of what is displayed after it.
    """

    pts: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray


def max_plausible_steps(steps: np.ndarray) -> np.ndarray:
    """Ticks between two frames up to which nothing is missing: one and a half times the duration, for rounding."""
    return steps + np.maximum(steps // 2, 1)


def plausible_durations(pts: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """(n,) int64: how long each frame is plausibly displayed: its packet's duration, or the median step."""
    steps = np.diff(np.unique(pts))
    usual = int(np.median(steps)) if len(steps) else 1
    return np.where(durations > 0, durations, usual)


def find_losses(
    finder: LossFinder, look_at: Callable[[Pauses], None], frames: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Losses, np.ndarray]:
    """(losses, holes): holes are (h, 2) int64 ticks [start, end), increasing: times whose frames are missing.

    frames: (pts, packet numbers, plausible durations), (m,) int64 each, in display order. look_at: as
    read_container_evidence returns it. Next to each gap between packets, the time between two frames beyond the
    plausible duration of the first is a hole.
    """
    pts, numbers, steps = frames
    is_pause = np.diff(pts) > max_plausible_steps(steps[:-1])
    at = np.flatnonzero(is_pause)
    first_after = np.minimum.accumulate(numbers[::-1])[::-1]  # in decoding order, which leading frames are not
    look_at(Pauses(pts, pts[at], first_after[at + 1]))
    losses = finder.result()
    cuts = np.flatnonzero(losses.follows_gap)
    if not len(cuts):
        return losses, np.zeros((0, 2), np.int64)
    distance = _distance(numbers, cuts)
    is_hole = is_pause & (np.minimum(distance[:-1], distance[1:]) <= REACH)
    return losses, np.stack([pts[:-1] + steps[:-1], pts[1:]], axis=1)[is_hole]


def _distance(numbers: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Number of packets between each of these and the nearest gap."""
    at = np.searchsorted(cuts, numbers)
    return np.minimum(
        np.abs(numbers - cuts[np.minimum(at, len(cuts) - 1)]), np.abs(numbers - cuts[np.maximum(at - 1, 0)])
    )


def loss_notes(losses: Losses, pts: np.ndarray | None, lost: np.ndarray | None, tick_sec: float) -> list[str]:
    """Notes on missing data and its consequences. pts, lost: as PacketIndex.pts and holes."""
    if not losses.is_any:
        return []
    places = np.flatnonzero(losses.follows_gap if losses.follows_gap.any() else losses.is_incomplete)
    at = "" if pts is None else f", first at {float(pts[places[0]]) * tick_sec:.2f} s"
    count = f"{len(places)} places" if len(places) > 1 else "one place"
    notes = [f"data is missing in {count}{at} ({', '.join(losses.reasons)}): frames that depend on it are corrupt"]
    if lost is not None and len(lost):
        lost_sec = float((lost[:, 1] - lost[:, 0]).sum()) * tick_sec
        notes.append(f"the frames of {lost_sec:.2f} s are missing, from {float(lost[0, 0]) * tick_sec:.2f} s on")
    return notes


def read_container_evidence(finder: LossFinder, kind: str, path: VideoLocation, stream) -> Callable[[Pauses], None]:
    """Add evidence from the file itself to what the demuxer reported. kind: name of the demuxer. OSError if it is
    unreadable.

    Returns a function to be called with the pauses between frames once these are known.
    """
    if not len(finder.positions) or finder.positions[-1] < 0:
        return lambda pauses: None
    if kind == "mpegts":
        counters = transport_stream.read_counters(path, stream.id)
        joints = finder.add_counter_gaps(counters, stream.codec_context.name)
        return lambda pauses: finder.add_gaps_nearby(counters.others, joints, pauses)
    if kind.startswith("mov"):
        finder.add_missing_fragments(fragments.missing_before(path))
    if kind.startswith("matroska"):
        layout, track = (
            matroska.read_layout(path),
            stream.index,
        )  # read now: pauses may only be known after the file is closed
        return lambda pauses: finder.add_index_gaps(matroska.cut_out(layout, track, set(pauses.pts.tolist())), pauses)
    return lambda pauses: None
