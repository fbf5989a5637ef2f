"""Which packets of a video are not whole, where others are missing, and which times therefore show nothing.

Only evidence counts: what the container or the codec says is lost. A long pause between frames without such evidence
is a frame that is held, as screen recordings and timelapses have them. Plain arithmetic on the index and on what the
readers of each container found; decodes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.video import fragments, matroska, transport

REACH = 16  # packets: how far frames may be decoded from where they are shown
CONCEALING = {"h264", "mpeg1video", "mpeg2video", "mpeg4"}  # decoders that tell of every macroblock they miss


@dataclass(frozen=True)
class Losses:
    """What is known to be lost, of n packets in decoding order.

    is_torn: (n,) bool, the packet itself is not whole, or not readable. is_cut: (n,) bool, packets are missing
    directly before this one. reasons: who says so, in a few words.
    """

    is_torn: np.ndarray
    is_cut: np.ndarray
    reasons: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return bool(self.is_torn.any() or self.is_cut.any())


@dataclass
class LossFinder:
    """Gathers evidence. positions: (n,) int64, where packets begin in the file, in bytes, -1 where unknown."""

    positions: np.ndarray
    is_torn: np.ndarray
    is_cut: np.ndarray
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.positions = np.maximum.accumulate(self.positions) if len(self.positions) else self.positions

    def result(self) -> Losses:
        return Losses(self.is_torn, self.is_cut, tuple(dict.fromkeys(self.reasons)))

    def passed_over(self, position: int | None, arrived: int) -> None:
        """The demuxer passed over data: at this position, or if that is unknown, before packet number arrived."""
        n = arrived if position is None else int(np.searchsorted(self.positions, position, "right"))
        if 0 < n < len(self.is_torn):
            self.is_torn[n - 1] = self.is_cut[n] = True
            self.reasons.append("data that cannot be read")

    def counted(self, gaps: np.ndarray, codec: str) -> None:
        """Packets of a transport stream are missing before these positions.

        Where one is missing between two frames, the end of the former may be: some decoders tell that themselves.
        """
        for gap in gaps.tolist():
            following = int(np.searchsorted(self.positions, gap, "left"))
            is_between = following < len(self.positions) and self.positions[following] == gap
            if not following:
                continue  # before the first frame
            self.is_torn[following - 1] |= not is_between or codec not in CONCEALING
            if following < len(self.is_cut):
                self.is_cut[following] = True
            self.reasons.append("gaps in the counters of its packets")

    def marked(self, is_corrupt: np.ndarray) -> None:
        """(n,) bool: the container calls these packets corrupt."""
        if is_corrupt.any():
            self.is_torn |= is_corrupt
            self.reasons.append("its container calls packets corrupt")

    def starts_late(self, positions: Iterable[int]) -> None:
        """Fragments are missing before those at these positions."""
        for position in positions:
            n = int(np.searchsorted(self.positions, position, "left"))
            if 0 < n < len(self.is_cut):
                self.is_cut[n] = True
                self.reasons.append("missing fragments")

    def indexed(self, spans: Iterable[tuple[int, int]], pts: np.ndarray, steps: np.ndarray) -> None:
        """The container's index names frames between these pts that are not there: at the pauses in between.

        pts: (n,) int64; steps: (n,) int64, for how long each frame is plausibly shown.
        """
        order = np.argsort(pts, kind="stable")
        is_pause = np.append(np.diff(pts[order]) > plausible(steps[order][:-1]), False)
        for start, stop in spans:
            for i in np.flatnonzero(is_pause & (pts[order] >= start) & (pts[order] < stop)):
                self.is_cut[np.flatnonzero(pts >= pts[order[i + 1]])[0]] = True
                self.reasons.append("frames that its index names")


def plausible(steps: np.ndarray) -> np.ndarray:
    """Ticks from one frame to the next between which nothing is missing: half as much again, for rounding."""
    return steps + np.maximum(steps // 2, 1)


def usual_steps(pts: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """(n,) int64: for how long each frame is plausibly shown: as its packet says, or as most are."""
    steps = np.diff(np.unique(pts))
    usual = int(np.median(steps)) if len(steps) else 1
    return np.where(durations > 0, durations, usual)


def holes(losses: Losses, pts: np.ndarray, is_shown: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(h, 2) int64 ticks [start, end), increasing: times whose frames are lost.

    Beside each place where packets are missing, what lies between two frames beyond the plausible duration of the
    first. pts, steps: (n,) int64; is_shown: (n,) bool.
    """
    cuts = np.flatnonzero(losses.is_cut)
    if not len(cuts):
        return np.zeros((0, 2), np.int64)
    order = np.flatnonzero(is_shown)
    order = order[np.argsort(pts[order], kind="stable")]
    before, after = order[:-1], order[1:]
    is_hole = pts[after] - pts[before] > plausible(steps[before])
    distance = np.minimum(_distance(before, cuts), _distance(after, cuts))
    is_hole &= distance <= REACH
    return np.stack([pts[before] + steps[before], pts[after]], axis=1)[is_hole]


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
    places = np.flatnonzero(losses.is_cut if losses.is_cut.any() else losses.is_torn)
    at = "" if pts is None else f", first at {float(pts[places[0]]) * tick_sec:.2f} s"
    count = f"{len(places)} places" if len(places) > 1 else "one place"
    notes = [f"data is lost in {count}{at} ({', '.join(losses.reasons)}): frames that depend on it are corrupt"]
    if lost is not None and len(lost):
        lost_sec = float((lost[:, 1] - lost[:, 0]).sum()) * tick_sec
        notes.append(f"the frames of {lost_sec:.2f} s are lost, from {float(lost[0, 0]) * tick_sec:.2f} s on")
    return notes


def consult_container(finder: LossFinder, kind: str, path: Path, stream, shown: tuple) -> None:
    """Add what the file itself says, beside what its demuxer told. kind: the demuxer's name; OSError as for reading.

    shown: (pts, steps) as for LossFinder.indexed, None where packets have no usable times.
    """
    if not len(finder.positions) or finder.positions[-1] < 0:
        return
    if kind == "mpegts":
        finder.counted(transport.read_counters(path, stream.id).gaps, stream.codec_context.name)
    elif kind.startswith("mov"):
        finder.starts_late(fragments.missing_before(path))
    elif kind.startswith("matroska") and shown is not None:
        pts, steps = shown
        layout = matroska.read_layout(path)
        finder.indexed(matroska.cut_out(layout, stream.index, set(pts.tolist())), pts, steps)
