"""Which decoded frames depend on damaged or missing data, by what the decoder reports and what the file has lost."""

from embedonce.pipeline.video.packets import PacketIndex


class AnyMessageTracker:
    """Replaces CorruptionTracker if there is no index: after the first error every frame counts as corrupt."""

    def __init__(self):
        self._has_error = False

    def note(self, _n: int, is_damaged: bool) -> None:
        self._has_error |= is_damaged

    def on(self, _pts: int | None) -> bool:
        return self._has_error


class CorruptionTracker:
    """Tracks which frames depend on missing data or on packets with decoding errors.

    An error makes the frame corrupt and, if other frames may depend on it, everything up to the next restart; so does
    data missing from the file. Without pts, frames are identified by packet numbers.
    """

    def __init__(self, index: PacketIndex):
        self._pts, self._droppable = index.pts, index.droppable.tobytes()
        restart = index.is_start if index.fallback_reason is None else index.is_key
        self._is_restart = (restart if index.is_restart is None else index.is_restart).tobytes()
        nothing, losses = bytes(len(index.is_key)), index.losses
        self._is_incomplete = nothing if losses is None else losses.is_incomplete.tobytes()
        self._follows_gap = nothing if losses is None else losses.follows_gap.tobytes()
        self._is_half = nothing if index.is_half is None else index.is_half.tobytes()
        self._corrupt: set[int] = set()
        self._is_corrupt = self._was_corrupt = False  # whether the current group is corrupt, and the previous one
        self._group_pts = 0

    def note(self, n: int, is_damaged: bool) -> None:
        """Packet n was fed. is_damaged: the decoder reported an error."""
        pts = n if self._pts is None else int(self._pts[n])
        self._is_corrupt |= bool(self._follows_gap[n])
        if self._is_restart[n]:
            self._was_corrupt, self._is_corrupt = self._is_corrupt, False
            self._group_pts = pts
        is_leading = self._pts is not None and pts < self._group_pts
        if self._is_incomplete[n] or (is_damaged and not self._droppable[n]):
            self._was_corrupt |= is_leading  # no later frame depends on it, otherwise decoding could not begin there
            self._is_corrupt |= bool(self._is_incomplete[n]) or not is_leading
        if self._is_corrupt or is_damaged or (self._was_corrupt and is_leading):
            self._corrupt.add(pts)
            if self._is_half[n]:  # its frame has the number and the pts of the previous packet
                self._corrupt.add(n - 1 if self._pts is None else int(self._pts[n - 1]))

    def on(self, pts: int | None) -> bool:
        """Whether the frame with this pts, or of the packet with this number, is corrupt."""
        return self._is_corrupt if pts is None else pts in self._corrupt
