"""Which work is waiting, running or done, and what follows when a worker is lost. Pure bookkeeping."""

from collections import deque
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from enum import Enum

MAX_LOSSES = 3  # workers that one chunk may lose before the run ends


class Cause(Enum):
    """Why a worker was lost."""

    NODE = "its node ended, which says nothing about the videos"
    ERROR = "it cannot continue, which says nothing about the videos either"
    CRASH = "its process died, perhaps because of a video"


@dataclass(eq=False)
class Chunk:
    """Videos that are extracted together. losses: workers that it lost for other causes than their node."""

    uids: tuple[str, ...]
    losses: int = 0
    suspects: set[str] = field(default_factory=set)  # being tried, one by one; the chunk waits for them


@dataclass(frozen=True)
class Trial:
    """One video of a chunk, which is tried alone to find the one that kills workers."""

    uid: str
    chunk: Chunk


Work = Chunk | Trial


class Assignments:
    """Hands out work to workers. A chunk that a worker was lost with is handed out again.

    A chunk whose workers crashed twice waits until each of its unfinished videos was tried alone.
    """

    def __init__(self, chunks: Iterable[tuple[str, ...]], suspected: Collection[str] = ()):
        """suspected: uids of videos at which workers died in earlier runs; their chunks have lost a worker already."""
        suspected = set(suspected)
        self._waiting: deque[Work] = deque(Chunk(uids, int(not suspected.isdisjoint(uids))) for uids in chunks)
        self._running: dict[Hashable, Work] = {}

    @property
    def is_complete(self) -> bool:
        return not self._waiting and not self._running

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def take(self, worker: Hashable) -> Work | None:
        """The next work for a worker, which has none; None if there is nothing to do now."""
        if not self._waiting:
            return None
        self._running[worker] = self._waiting.popleft()
        return self._running[worker]

    def work_of(self, worker: Hashable) -> Work | None:
        """What a worker is at; None if nothing."""
        return self._running.get(worker)

    def finish(self, worker: Hashable) -> Work:
        """A worker has done its work. Returns it."""
        work = self._running.pop(worker)
        if isinstance(work, Trial):
            self._end_trial(work)
        return work

    def lose(self, worker: Hashable, cause: Cause, unfinished: Collection[str] = ()) -> Chunk | None:
        """A worker is lost, with its work. unfinished: those of a chunk's videos that may have killed it.

        After a crash, other work comes first: whether that succeeds tells a video's fault from the teacher's. Returns
        the chunk if the run must end, because it lost MAX_LOSSES workers.
        """
        work = self._running.pop(worker)
        if cause is Cause.NODE or isinstance(work, Trial):
            hand_out = self._waiting.append if cause is Cause.CRASH else self._waiting.appendleft
            hand_out(work)
            return None
        work.losses += 1
        if work.losses >= MAX_LOSSES:
            return work
        work.suspects = set(unfinished) if cause is Cause.CRASH and work.losses > 1 else set()
        trials: list[Work] = [Trial(uid, work) for uid in work.uids if uid in work.suspects]
        if trials or cause is Cause.CRASH:
            self._waiting.extend(trials or [work])
        else:
            self._waiting.appendleft(work)
        return None

    def convict(self, worker: Hashable) -> None:
        """The only video that a worker was at has used up its attempts, and is quarantined now."""
        work = self._running.pop(worker)
        chunk = work.chunk if isinstance(work, Trial) else work
        chunk.losses = 1  # the cause is found and gone; should another worker die, videos are tried at once
        if isinstance(work, Trial):
            self._end_trial(work)
        else:
            self._waiting.appendleft(work)  # its units are completed without the video

    def _end_trial(self, trial: Trial) -> None:
        trial.chunk.suspects.discard(trial.uid)
        if not trial.chunk.suspects:
            self._waiting.appendleft(trial.chunk)
