"""Wanted frames of a video, each bit for bit as decoding the whole video gives it, most other frames left out.

Where a decoder complains, or anything is not as the packets' headers said, the whole video is decoded instead. Knows
no crops and no cache.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import av.logging
import numpy as np

from pipeline.video.container import check_size, opened, packets_of
from pipeline.video.indexing import read_index
from pipeline.video.packets import PacketIndex
from pipeline.video.skipping import FeedPlan, plan_feed, whole_plan

PACKETS_PER_SIGN = 50  # of life, while wanted frames are far apart


class _DoubtError(Exception):
    """Something is not as the packets' headers promised."""


class WantedFrames:
    """Decodes the wanted frames of one video; iterate over it once.

    frame_index, pts: (n,) int64, increasing. by_order: packets have no usable pts, frames are known by their order.
    Yields (i, av.VideoFrame) for wanted frame i, in order. A frame that cannot be decoded, that its decoder calls
    corrupt, or that depends on data the decoder complained of is not yielded: its neighbour never takes its place.
    Yields None now and then as a sign of life. way: how it was done, for the record. num_fed: packets decoded.
    """

    def __init__(self, path: Path, frame_index: np.ndarray, pts: np.ndarray, by_order: bool, decoder: str = "software"):
        self._path, self._by_order, self._decoder = path, by_order, decoder
        self._identities = frame_index if by_order else pts
        self._next = 0  # the first wanted frame that may still come
        self.way, self.num_fed = "nothing", 0

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame] | None]:
        if not len(self._identities):
            return
        with opened(self._path, self._decoder) as (container, stream):
            index = yield from read_index(container, stream)
        plan = whole_plan(index, None, index.doubt) if self._by_order else plan_feed(index, self._identities)
        if plan.doubt is None:
            self.way = "skipping"
            try:
                yield from self._decoded(index, plan)
                return
            except _DoubtError as doubt:
                plan = whole_plan(index, self._identities, str(doubt))
        self.way = f"whole ({plan.doubt})"
        yield from self._decoded(index, plan)

    def _decoded(self, index: PacketIndex, plan: FeedPlan) -> Iterator[tuple[int, av.VideoFrame] | None]:
        """The wanted frames from the first on that has not been yielded."""
        skips = plan.doubt is None
        with _Feeder(self._path, self._decoder, index, plan) as feeder:
            for count, frames in enumerate(feeder.frames()):
                for order, frame, is_sound in frames:
                    i = self._position(order if self._by_order else frame.pts)
                    if skips and not is_sound:
                        raise _DoubtError("its decoder complains")
                    if skips and i is not None and i != self._next:
                        raise _DoubtError("a frame did not come out")
                    if i is None or i < self._next:
                        continue
                    self._next = i + 1
                    if is_sound:
                        yield i, frame
                self.num_fed = feeder.num_fed
                if self._next == len(self._identities):
                    return
                if count % PACKETS_PER_SIGN == 0:
                    yield None
        if skips:
            raise _DoubtError("a frame did not come out")

    def _position(self, identity: int | None) -> int | None:
        if identity is None:
            return None
        i = int(np.searchsorted(self._identities, identity))
        return i if i < len(self._identities) and self._identities[i] == identity else None


class _Feeder:
    """Gives a decoder the packets of a plan and takes what comes out, with the decoder's own word on its soundness."""

    def __init__(self, path: Path, decoder: str, index: PacketIndex, plan: FeedPlan):
        self._path, self._decoder, self._plan = path, decoder, plan
        self._stains = _Stains(index)
        self._last_fed = int(np.flatnonzero(plan.feed)[-1])
        self.num_fed = 0

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._container, self._stream = self._stack.enter_context(opened(self._path, self._decoder))
        self._messages = self._stack.enter_context(listening())
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def frames(self) -> Iterator[list[tuple[int, av.VideoFrame, bool]]]:
        """For each packet fed: (order, frame, is_sound) of the frames that came out with it."""
        order = itertools.count()
        for n, packet in enumerate(itertools.islice(packets_of(self._container, self._stream), self._last_fed + 1)):
            if self._plan.run_start[n]:
                yield self._judged(self._fed(None), order)
                self._stream.codec_context.flush_buffers()
            if self._plan.feed[n]:
                frames = self._fed(packet)
                self._stains.note(n, any(is_complaint(level, text) for level, _, text in self._messages))
                yield self._judged(frames, order)
        yield self._judged(self._fed(None), order)

    def _fed(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        self._messages.clear()
        self.num_fed += packet is not None
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            self._messages.append((av.logging.ERROR, "", str(error)))
            return []
        for frame in frames:
            check_size(frame.width, frame.height)
        return frames

    def _judged(self, frames: list[av.VideoFrame], order: Iterator[int]) -> list[tuple[int, av.VideoFrame, bool]]:
        return [(next(order), f, not f.is_corrupt and not self._stains.on(f.pts)) for f in frames]


class _Stains:
    """Which frames depend on data that the decoder complained of.

    A complaint stains the frame it came with and, if others may need that one, all that follow until decoding could
    begin anew. Where packets have no pts, it stains whatever comes out until then.
    """

    def __init__(self, index: PacketIndex):
        self._pts, self._droppable = index.pts, index.droppable
        self._is_start = index.is_start if index.doubt is None else index.is_key
        self._stained: set[int] = set()
        self._now = self._before = False  # this group, the one before it
        self._group_pts = 0

    def note(self, n: int, is_complaint: bool) -> None:
        """Packet n was fed; is_complaint: the decoder complained."""
        if self._is_start[n]:
            self._before, self._now = self._now, False
            self._group_pts = 0 if self._pts is None else self._pts[n]
        self._now |= is_complaint and not self._droppable[n]
        if self._pts is not None and (self._now or is_complaint or (self._before and self._pts[n] < self._group_pts)):
            self._stained.add(int(self._pts[n]))

    def on(self, pts: int | None) -> bool:
        return self._now if self._pts is None else pts in self._stained


def is_complaint(level: int, text: str) -> bool:
    """Whether a message says that data is damaged. H.264 tells only at level INFO that it fills in lost parts."""
    return level <= av.logging.WARNING or text.startswith("concealing")


@contextlib.contextmanager
def listening() -> Iterator[list]:
    """A list to which FFmpeg's messages in this thread are appended: (level, decoder, text)."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
