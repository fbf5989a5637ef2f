"""Live sources: a thread receives frames, and the newest sampled one waits for the student. Nothing piles up.

Of the frames that are due while the student is busy, only the newest is kept; the others are counted as dropped.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.upright import PlannedShape
from embedonce.pipeline.frames.canonical_frame import canonical_size
from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.predict.frame_images import FrameImages
from embedonce.pipeline.predict.sampled_frames import End, Sampled
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.geometry import SQUARE, AspectReader, Geometry, Orientations, upright_size
from embedonce.pipeline.video.live import live_frames, sample_aspect
from embedonce.pipeline.video.orientation import Orientation

MAX_JUMP_SEC = 10.0  # between frames; a longer one, or one backwards, is a restart of the sender's clock
EARLY_SEC = 1e-3  # a frame this much before a sampling time answers it


class LiveError(PipelineError):
    """A live source cannot be opened, stalled or vanished."""

    exit_code = 5


@dataclass(frozen=True, eq=False)
class Received:
    """A frame (av.VideoFrame), its time in seconds, and when it arrived, by time.monotonic()."""

    time: float
    frame: Any
    arrived: float


class StreamClock:
    """Times of frames that begin at 0 and never go back, from timestamps that may be missing or start anew."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._latest, self._arrived = 0.0, 0.0

    def __call__(self, stamp: float | None, arrived: float) -> float:
        """stamp: the frame's timestamp in seconds, None if it has none. arrived: by time.monotonic()."""
        since = arrived - self._arrived if self._offset is not None else 0.0
        self._arrived = arrived
        if stamp is None:
            self._offset = 0.0 if self._offset is None else self._offset
            self._latest += since
            return self._latest
        if self._offset is None or not 0 <= stamp - self._offset - self._latest <= MAX_JUMP_SEC:
            self._offset = stamp - self._latest - since
        self._latest = stamp - self._offset
        return self._latest


class NewestFrame:
    """A place for one frame between the thread that receives and the one that takes. num_dropped: replaced ones."""

    def __init__(self) -> None:
        self.num_dropped = 0
        self._changed = threading.Condition()
        self._frame: Received | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._alive = time.monotonic()  # when the source last sent a frame, sampled or not

    def put(self, frame: Received) -> None:
        with self._changed:
            self.num_dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def touch(self) -> None:
        """The source has sent a frame."""
        with self._changed:
            self._alive = time.monotonic()

    def close(self, error: BaseException | None) -> None:
        """No further frame comes. error: why."""
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify()

    def take(self, timeout_sec: float) -> Received | None:
        """The newest frame, or None at the end. The error that the source ended with; TimeoutError if it has sent
        nothing for this time.
        """
        with self._changed:
            while self._frame is None and not self._is_over:
                left = self._alive + timeout_sec - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._changed.wait(left)
            frame, self._frame = self._frame, None
            if frame is None and self._error is not None:
                raise self._error
            return frame


class LiveSource:
    """Sampled frames of a stream or camera, of which the newest is taken.

    name: for messages. open_container: opens it; called in the receiving thread. is_paced: whether its frames are held
    back until they are due, for senders that are faster than real time. on_frame: called with the time, frame and
    orientation of each sampled frame, before it is yielded.
    """

    def __init__(self, name: str, open_container: Callable[[], Any], is_paced: bool, stall_sec: float):
        self._name, self._open, self._is_paced, self._stall_sec = name, open_container, is_paced, stall_sec
        self._newest, self._stopped = NewestFrame(), threading.Event()
        self._aspect: Any = None
        self.on_frame: Callable[[float, Any, Orientation], object] = lambda time, frame, orientation: None

    @property
    def num_dropped(self) -> int:
        """Sampled frames that the student was too busy for."""
        return self._newest.num_dropped

    def frames(
        self, preprocessing: Preprocessing, fps: float | None, max_seconds: float | None = None
    ) -> Iterator[Sampled | End]:
        """The newest sampled frames, as they come. fps: times per second; None: all frames that there is time for.

        LiveError if the source cannot be opened, sends nothing for stall_sec, or breaks off.
        """
        threading.Thread(target=self._receive, args=(fps,), name=f"receive {self._name}", daemon=True).start()
        prepare, orient, latest = None, Orientations(), 0.0
        try:
            while (received := self._take()) is not None:
                if max_seconds is not None and received.time >= max_seconds:
                    break
                orientation = orient(received.frame)
                prepare = prepare or FrameImages(self._shape(received.frame, orientation, preprocessing), preprocessing)
                image = prepare(received.frame, orientation, f"{received.time:.2f} s")
                latest = received.time
                self.on_frame(received.time, received.frame, orientation)
                yield Sampled((received.time,), image, received.arrived)
        finally:
            self._stopped.set()
        end = latest + (1 / fps if fps else EARLY_SEC)
        yield End(end if max_seconds is None else min(end, max_seconds))

    def _take(self) -> Received | None:
        try:
            return self._newest.take(self._stall_sec)
        except TimeoutError as error:
            raise LiveError(
                f"{self._name} sent no frame for {self._stall_sec:g} s; see whether it still runs, or raise "
                "--stall-timeout"
            ) from error
        except VideoError as error:
            raise LiveError(f"{self._name} cannot be read: {error}") from error

    def _shape(self, frame: Any, orientation: Orientation, preprocessing: Preprocessing) -> PlannedShape:
        coded = AspectReader()(frame) or SQUARE
        geometry = Geometry((frame.height, frame.width), coded, orientation)
        aspect = self._aspect or coded
        try:
            upright = upright_size(geometry.size, aspect, orientation)
            size = canonical_size(*upright, short_side=preprocessing.canonical_short_side)
        except ValueError as error:
            raise LiveError(f"{self._name} cannot be used: {error}") from error
        return PlannedShape(size, geometry, aspect)

    def _receive(self, fps: float | None) -> None:
        """The loop of the thread."""
        error: BaseException | None = None
        try:
            with self._open() as container:
                self._aspect = sample_aspect(container)
                self._pass_on(container, fps)
        except BaseException as problem:
            error = problem
        self._newest.close(error)

    def _pass_on(self, container: Any, fps: float | None) -> None:
        clock, due, began = StreamClock(), 0, time.monotonic()
        for stamp, frame in live_frames(container):
            arrived = time.monotonic()
            now = clock(stamp, arrived)
            self._newest.touch()
            if self._is_paced and self._stopped.wait(max(0.0, began + now - arrived)):
                return
            if self._stopped.is_set():
                return
            if fps is None or now >= due / fps - EARLY_SEC:
                at = now if fps is None else int((now + EARLY_SEC) * fps) / fps
                due = 0 if fps is None else int((now + EARLY_SEC) * fps) + 1
                self._newest.put(Received(at, frame, time.monotonic()))
