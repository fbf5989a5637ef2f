"""Which packets of a video are not whole, where others are missing, and which times therefore show nothing.

Only evidence counts: what the container or the codec says is lost. A long pause between frames without such evidence
is a frame that is held, as screen recordings and timelapses have them. Plain arithmetic on the index and on what the
readers of each container found; decodes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedonce.pipeline.video.headers import fragments, matroska, transport_stream

REACH = 16  # packets: how far frames may be decoded from where they are shown
CONCEALING = {"h264", "mpeg1video", "mpeg2video", "mpeg4"}  # decoders that tell of every macroblock they miss


@dataclass(frozen=True)
class Losses:
    """What is known to be lost, of n packets in decoding order.

    is_incomplete: (n,) bool, the packet itself is not whole, or not readable. follows_gap: (n,) bool, packets are missing
    directly before this one. reasons: who says so, in a few words.
    """

    is_incomplete: np.ndarray
    follows_gap: np.ndarray
    reasons: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return bool(self.is_incomplete.any() or self.follows_gap.any())


@dataclass
class LossFinder:
    """Gathers evidence.

    positions: (n,) int64, where packets begin in the file, in bytes, -1 where unknown. is_start: as in PacketFacts.
    """

    positions: np.ndarray
    is_incomplete: np.ndarray
    follows_gap: np.ndarray
    is_start: np.ndarray
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, positions: np.ndarray, is_start: np.ndarray) -> "LossFinder":
        """One that knows of nothing yet."""
        nothing = np.zeros(len(positions), bool)
        positions = np.maximum.accumulate(positions) if len(positions) else positions
        return cls(positions, nothing, nothing.copy(), is_start)

    def result(self) -> Losses:
        return Losses(self.is_incomplete.copy(), self.follows_gap.copy(), tuple(dict.fromkeys(self.reasons)))

    def add_skipped_data(self, position: int | None, arrived: int | None) -> None:
        """The demuxer passed over data: before packet number arrived, or somewhere before this position."""
        n, first = arrived, None
        if n is None and position is not None:
            n = int(np.searchsorted(self.positions, position, "right"))
            first = max(n - REACH, 0)
        if n is not None and 0 < n < len(self.is_incomplete):
            self.is_incomplete[n - 1 if first is None else first : n] = self.follows_gap[n] = True
            self.reasons.append("data that cannot be read")

    def add_counter_gaps(self, counters: transport_stream.Counters, codec: str) -> list[int]:
        """Packets of a transport stream are missing.

        Where one is missing between two frames, the end of the former may be: some decoders tell that themselves.
        Returns the numbers of packets before which counters begin anew and decoding does, too: another stream may have
        been joined on there, and nothing be lost.
        """
        joints = []
        for gap in np.union1d(counters.gaps, counters.breaks).tolist():
            following = int(np.searchsorted(self.positions, gap, "left"))
            is_between = following < len(self.positions) and self.positions[following] == gap
            if not following:
                continue  # before the first frame
            is_told = is_between and codec in CONCEALING and gap not in counters.breaks
            if is_told and self.is_start[following]:
                joints.append(following)
                continue
            self.is_incomplete[following - 1] |= not is_told
            if following < len(self.follows_gap):
                self.follows_gap[following] = True
            self.reasons.append("gaps in the counters of its packets")
        return joints

    def add_frame_number_gaps(self, follows_gap: np.ndarray) -> None:
        """(n,) bool: frames are missing before these by their numbers. What is left of the one before is unknown."""
        numbers = np.flatnonzero(follows_gap & ~self.follows_gap)
        if len(numbers):
            self.is_incomplete[numbers - 1] = self.follows_gap[numbers] = True
            self.reasons.append("gaps in the numbers of its frames")

    def add_marked_packets(self, is_corrupt: np.ndarray) -> None:
        """(n,) bool: the container calls these packets corrupt."""
        if is_corrupt.any():
            self.is_incomplete |= is_corrupt
            self.reasons.append("its container calls packets corrupt")

    def add_encrypted_packets(self, is_encrypted: np.ndarray) -> None:
        """(n,) bool: nobody can read these packets."""
        if is_encrypted.any():
            self.is_incomplete |= is_encrypted
            self.reasons.append("packets that are encrypted")

    def add_missing_fragments(self, positions: Iterable[int]) -> None:
        """Fragments are missing before those at these positions."""
        for position in positions:
            n = int(np.searchsorted(self.positions, position, "left"))
            if 0 < n < len(self.follows_gap):
                self.follows_gap[n] = True
                self.reasons.append("missing fragments")

    def add_index_gaps(self, spans: Iterable[tuple[int, int]], pauses: "Pauses") -> None:
        """The container's index names frames between these pts that are not there: at the pauses in between."""
        for start, stop in spans:
            self._end(pauses.numbers[(pauses.starts >= start) & (pauses.starts < stop)], "frames that its index names")

    def add_gaps_nearby(self, gaps: np.ndarray, joints: list[int], pauses: "Pauses") -> None:
        """Packets of other streams are missing at these positions, or two streams are joined before these packets.

        Frames are missing, too, where there is a pause as well.
        """
        at = np.union1d(np.searchsorted(self.positions, gaps, "right"), np.array(joints, np.int64))
        is_near = np.array([bool((np.abs(at - n) <= REACH).any()) for n in pauses.numbers.tolist()], bool)
        self._end(pauses.numbers[is_near], "gaps in the counters of its packets")

    def _end(self, numbers: np.ndarray, reason: str) -> None:
        """Packets are missing before these, where it is not known already."""
        known = np.flatnonzero(self.follows_gap)
        for n in numbers.tolist():
            if not (np.abs(known - n) <= REACH).any():
                self.follows_gap[n] = True
                self.reasons.append(reason)


@dataclass(frozen=True)
class Pauses:
    """Where frames are shown for longer than is plausible.

    pts: (m,) int64 of all frames in order of time. starts: (p,) int64, those of the frames that are shown so long;
    numbers: (p,) int64, the first packets of what is shown after them.
    """

    pts: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray


def max_plausible_steps(steps: np.ndarray) -> np.ndarray:
    """Ticks from one frame to the next between which nothing is missing: half as much again, for rounding."""
    return steps + np.maximum(steps // 2, 1)


def plausible_durations(pts: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """(n,) int64: for how long each frame is plausibly shown: as its packet says, or as most are."""
    steps = np.diff(np.unique(pts))
    usual = int(np.median(steps)) if len(steps) else 1
    return np.where(durations > 0, durations, usual)


def find_losses(
    finder: LossFinder, look_at: Callable[[Pauses], None], frames: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Losses, np.ndarray]:
    """(what is lost, (h, 2) int64 ticks [start, end), increasing: times whose frames are lost).

    frames: (pts, numbers of their packets, ticks for which each is plausibly shown), (m,) int64 each, in order of time.
    look_at: as consult_container gives it. Beside each place where packets are missing, what lies between two frames
    beyond the plausible duration of the first is lost.
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
    """How many packets lie between each of these and the nearest cut."""
    at = np.searchsorted(cuts, numbers)
    return np.minimum(
        np.abs(numbers - cuts[np.minimum(at, len(cuts) - 1)]), np.abs(numbers - cuts[np.maximum(at - 1, 0)])
    )


def loss_notes(losses: Losses, pts: np.ndarray | None, lost: np.ndarray | None, tick_sec: float) -> list[str]:
    """What the file has lost, and what became of it, in words. pts, lost: as in PacketIndex.pts and holes."""
    if not losses.is_any:
        return []
    places = np.flatnonzero(losses.follows_gap if losses.follows_gap.any() else losses.is_incomplete)
    at = "" if pts is None else f", first at {float(pts[places[0]]) * tick_sec:.2f} s"
    count = f"{len(places)} places" if len(places) > 1 else "one place"
    notes = [f"data is lost in {count}{at} ({', '.join(losses.reasons)}): frames that depend on it are corrupt"]
    if lost is not None and len(lost):
        lost_sec = float((lost[:, 1] - lost[:, 0]).sum()) * tick_sec
        notes.append(f"the frames of {lost_sec:.2f} s are lost, from {float(lost[0, 0]) * tick_sec:.2f} s on")
    return notes


def read_container_evidence(finder: LossFinder, kind: str, path: Path, stream) -> Callable[[Pauses], None]:
    """Add what the file itself says, beside what its demuxer told. kind: the demuxer's name; OSError as for reading.

    Returns what is to be called with the pauses between frames once these are known.
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
        layout, track = matroska.read_layout(path), stream.index  # read now: the pauses may be known after it is closed
        return lambda pauses: finder.add_index_gaps(matroska.cut_out(layout, track, set(pauses.pts.tolist())), pauses)
    return lambda pauses: None
