"""Embeds batches beside the caller: in a thread for a teacher on a GPU, or in one for each teacher process."""

import contextlib
import ctypes
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from embedonce.pipeline.engines.engine import MAX_ATTEMPTS
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.busy_time import BusyTime

log = logging.getLogger(__name__)

Images = Sequence[np.ndarray]  # (S, S, 3) uint8
LOOK_SEC = 0.05  # how often a run that ends early looks whether its threads have ended
_LAST = 1 << 62  # after the number of every batch


class TeacherProcessError(Exception):
    """A teacher process ended, or its device failed; restart() may help. The message says how."""


class _Abandoned(BaseException):
    """Raised in a thread in the middle of a batch whose result nobody needs any longer."""


class Member(Protocol):
    """A teacher that embeds one batch after the other."""

    @property
    def ahead(self) -> int:
        """How many batches may be begun before the first of them is finished."""

    def begin(self, images: Images) -> Callable[[], np.ndarray]:
        """Start embedding; the function waits for the (B, D) float32 embeddings. TeacherProcessError from either."""


@runtime_checkable
class ProcessMember(Member, Protocol):
    """A teacher in a process of its own."""

    name: str  # for messages

    def restart(self) -> None:
        """Start it again after it died. TeacherProcessError if it dies again."""

    def kill(self) -> None:
        """End it; whatever waits for it raises TeacherProcessError."""


@dataclass(order=True)
class _Batch:
    number: int
    images: Images = field(compare=False, default=())
    result: "Future[np.ndarray]" = field(compare=False, default_factory=Future)
    deaths: int = field(compare=False, default=0)  # teacher processes that ended with it


class Lanes:
    """Takes batches and returns their embeddings in the same order, whichever member embedded them.

    Each member gets one batch beyond the one it works on. A batch whose teacher process dies goes to the next one that
    is free; a batch or a process with MAX_ATTEMPTS deaths is given up. Batches that wait or are embedded: two for each
    member and one more.

    A single teacher on this CPU works in the caller's thread: the memory that glibc keeps is that of the main thread.
    """

    def __init__(self, members: Sequence[Member], busy: BusyTime):
        """busy: counts the time of all members together."""
        self._members, self._busy = members, busy
        self._batches: queue.PriorityQueue[_Batch] = queue.PriorityQueue()
        self._submitted: deque[Future[np.ndarray]] = deque()
        self._done: deque[np.ndarray] = deque()
        self._count, self._num_alive = 0, len(members)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        first = members[0]
        self._is_direct = len(members) == 1 and first.ahead == 1 and not isinstance(first, ProcessMember)
        used = () if self._is_direct else members
        self._threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in used]

    def __enter__(self) -> "Lanes":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the threads; if an error or an interrupt ended the run, in the middle of a batch."""
        for number, _member in enumerate(self._members):
            self._batches.put(_Batch(_LAST + number))
        if kind is not None:
            self._stopped.set()
            self._interrupt()
        for thread in self._threads:
            thread.join()

    def submit(self, images: Images) -> None:
        """Queue a batch; waits while there are as many as the members should have."""
        if self._is_direct:
            self._done.append(self.embed(images))
            return
        while len(self._submitted) > 2 * len(self._members):
            self._done.append(self._submitted.popleft().result())
        self._submitted.append(self._queue(images))

    def embed(self, images: Images) -> np.ndarray:
        """The embeddings of a batch that is not among those that are returned in order."""
        if self._is_direct:
            with self._busy.working():
                return self._members[0].begin(images)()
        return self._queue(images).result()

    def pop(self, is_last: bool = False) -> Iterator[np.ndarray]:
        """The embeddings of the next batches as far as they are there; with is_last, of all that were submitted."""
        while self._done:
            yield self._done.popleft()
        while self._submitted and (is_last or self._submitted[0].done()):
            yield self._submitted.popleft().result()

    def _queue(self, images: Images) -> "Future[np.ndarray]":
        self._count += 1
        batch = _Batch(self._count, images)
        self._batches.put(batch)
        return batch.result

    def _run(self, member: Member) -> None:
        """The target of a thread."""
        with contextlib.suppress(_Abandoned):
            self._work(member)

    def _work(self, member: Member) -> None:
        """The loop of a thread."""
        deaths = 0
        while (batch := self._batches.get()).number < _LAST and not self._stopped.is_set():
            begun = deque([batch])
            try:
                with self._busy.working():
                    self._embed_ahead(member, begun)
            except BaseException as error:  # an error in a thread would be lost: submit() or pop() raises it
                if self._stopped.is_set():
                    return
                deaths += 1
                if isinstance(error, TeacherProcessError) and isinstance(member, ProcessMember):
                    if not self._is_replaced(member, begun, deaths, str(error)):
                        return
                    continue
                for failed in begun:
                    failed.result.set_exception(error)

    def _embed_ahead(self, member: Member, begun: deque[_Batch]) -> None:
        """Embed these batches, and those that wait meanwhile, each begun before the one before it is finished.

        begun: holds the batches without a result, also when an error is raised.
        """
        finishing = deque([member.begin(begun[0].images)])
        while begun:
            if len(begun) < member.ahead and (following := self._next()) is not None:
                begun.append(following)
                finishing.append(member.begin(following.images))
            vectors = finishing.popleft()()
            begun.popleft().result.set_result(vectors)

    def _next(self) -> _Batch | None:
        """The next batch if one waits."""
        try:
            batch = self._batches.get_nowait()
        except queue.Empty:
            return None
        if batch.number < _LAST:
            return batch
        self._batches.put(batch)
        return None

    def _is_replaced(self, member: ProcessMember, begun: Sequence[_Batch], deaths: int, how: str) -> bool:
        """Hand the batches on, and start the process again. False if it has died too often."""
        begun[0].deaths += 1
        is_hopeless = begun[0].deaths >= MAX_ATTEMPTS
        if is_hopeless:
            ended = f"a batch of images ended {MAX_ATTEMPTS} teacher processes, the last one with: {how}"
            begun[0].result.set_exception(PipelineError(f"{ended}; what was committed is kept"))
        for batch in list(begun)[is_hopeless:]:
            self._batches.put(batch)
        while deaths < MAX_ATTEMPTS:
            log.warning("%s ended (%s): it is started again, and its batch is embedded once more", member.name, how)
            try:
                member.restart()
                return True
            except TeacherProcessError as died:
                deaths, how = deaths + 1, str(died)
        self._retire(member, how)
        return False

    def _retire(self, member: ProcessMember, how: str) -> None:
        """A process is not started again; the last one takes all batches with it."""
        with self._lock:
            self._num_alive -= 1
        if self._num_alive:
            log.warning("%s ended %d times, now with: %s; the others go on without it", member.name, MAX_ATTEMPTS, how)
            return
        message = f"{member.name} ended {MAX_ATTEMPTS} times, now with: {how}; what was committed is kept"
        while (batch := self._batches.get()).number < _LAST:
            batch.result.set_exception(PipelineError(message))

    def _interrupt(self) -> None:
        """Make all threads end now, in the middle of a batch."""
        waiting = list(zip(self._threads, self._members, strict=not self._is_direct))
        while waiting:
            for thread, member in waiting:
                thread.join(LOOK_SEC)
                if not thread.is_alive():
                    continue
                if isinstance(member, ProcessMember):
                    member.kill()
                else:  # as an interrupt does in the main thread: between two of its instructions
                    number = ctypes.c_ulong(thread.ident or 0)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(_Abandoned))
            waiting = [(thread, member) for thread, member in waiting if thread.is_alive()]
