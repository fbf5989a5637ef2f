"""A teacher in a process of its own, as its parent sees it."""

import contextlib
import logging
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.engines.child_process import ChildProcess
from embedonce.pipeline.processes.running_time import RunningTime, Watchdog
from embedonce.pipeline.processes.shared_memory import SharedMemory
from embedonce.pipeline.teachers.batch_size import first_images, origin
from embedonce.pipeline.teachers.lanes import Images, TeacherProcessError
from embedonce.pipeline.teachers.serving import (
    Answer,
    ChooseBatchSize,
    DropTextTower,
    Embed,
    Failed,
    Loaded,
    LogLine,
    Orders,
    serve,
)

log = logging.getLogger(__name__)

MAX_IMAGES_AHEAD = 512  # of a batch: what describes a larger one may fill the pipe, while the process fills the other


@dataclass
class Patience:
    """How long a teacher process may take before it counts as hanging, in seconds: far longer than it ever should.

    least_sec: for any answer. times_longest: for a batch, in times of the longest so far. first_sec, image_sec: for the
    first batch, and for each of its images, if that is more: kernels are chosen, and nothing has been measured. The
    search for a batch size may take first_sec, too.
    """

    least_sec: float = 300.0
    times_longest: float = 20.0
    first_sec: float = 1800.0
    image_sec: float = 60.0
    longest_sec: float = 0.0  # of the answers so far

    def for_batch(self, num_images: int) -> float:
        """Seconds for the answer to a batch."""
        if not self.longest_sec:
            return max(self.first_sec, self.image_sec * num_images)
        return max(self.least_sec, self.times_longest * self.longest_sec)


class TeacherProcess:
    """Loads a teacher in a spawned process and sends it requests, whose answers come in their order.

    A process that takes a batch and does not answer in time is killed.
    """

    def __init__(
        self, name: str, orders: Orders, memory: SharedMemory | None, logged: set[str], patience: Patience | None = None
    ):
        """Start the process.

        name: for messages. memory: what images pass through; without, they take the pipe. logged: what the processes of
        a group have logged, which need not be logged again.
        """
        self.name, self.orders, self._logged = name, orders, logged
        self.facts: dict[str, str] = {}
        self.batch_size, self.batch_size_from = 0, ""  # known once it is loaded
        self.cpu_sec = self._earlier_cpu_sec = 0.0  # processor time, without that of loading
        self.loaded: Loaded | None = None
        self._memory, self._has_dropped_text = memory, False
        self._patience, self._load_sec, self._hung_sec = patience or Patience(), 0.0, 0.0
        self._num_images = 0  # of the last batch
        self._process = ChildProcess(serve, (orders,), to_child=memory)

    @property
    def identity(self) -> TeacherIdentity:
        assert self.loaded is not None, "wait_until_loaded() comes first"
        return self.loaded.identity

    @property
    def ahead(self) -> int:
        """As Member.ahead: 2 if a second batch surely fits into the memory, so that sending it waits for nothing."""
        room = self._memory.num_bytes // 2 if self._memory is not None else 0
        return 2 if self._num_images <= min(MAX_IMAGES_AHEAD, room // self.identity.input_bytes) else 1

    def wait_until_loaded(self) -> None:
        """Raises what loading the teacher raised; TeacherProcessError if the process ended.

        The first time, it may take any time: weights may be downloaded.
        """
        started = RunningTime()
        limit = max(self._patience.first_sec, self._patience.times_longest * self._load_sec) if self.loaded else None
        with self._killed_after(limit):
            answer = self._receive()
        assert isinstance(answer, Loaded)
        if self.loaded is None:
            device = answer.facts.get("device", "")
            self.batch_size = first_images(self.orders.batch_size, device, answer.identity.window)
            self.batch_size_from = origin(self.orders.batch_size, device)
        self.loaded, self.facts, self._load_sec = answer, answer.facts, started.seconds()

    def begin(self, images: Images) -> Callable[[], np.ndarray]:
        """As Member.begin(). TeacherProcessError if the process hangs."""
        self._num_images = len(images)
        limit = self._patience.for_batch(len(images))
        with self._killed_after(limit):
            self._send(Embed(list(images)))
        return partial(self._embedded, limit)

    def call(self, request: object) -> Any:
        """The answer to a request, while no other one waits."""
        self._send(request)
        return self._answer()

    def begin_choosing(self) -> Callable[[], None]:
        """Let the process choose its batch size; the function waits until it has."""
        self._send(ChooseBatchSize())

        def chosen() -> None:
            with self._killed_after(self._patience.first_sec):
                self._answer()

        return chosen

    def drop_text_tower(self) -> None:
        self._has_dropped_text = True
        self.call(DropTextTower())

    def restart(self) -> None:
        """As ProcessMember.restart(). TeacherProcessError also if it hangs."""
        self._process.close()
        self._earlier_cpu_sec = self.cpu_sec
        self._patience, self._hung_sec = replace(self._patience, longest_sec=0.0), 0.0
        self.orders = replace(self.orders, batch_size=self.batch_size)
        self._process = ChildProcess(serve, (self.orders,), to_child=self._memory)
        self.wait_until_loaded()
        if self._has_dropped_text:
            self.drop_text_tower()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """End the process, and wait until it is gone."""
        self._process.close()
        if self._memory is not None:
            self._memory.close()

    def _send(self, request: object) -> None:
        try:
            self._process.channel.send(request)
        except (EOFError, OSError) as error:
            raise TeacherProcessError(self._end()) from error

    def _embedded(self, limit_sec: float) -> np.ndarray:
        """The answer to a batch, whose time counts from when the one before it was answered."""
        started = RunningTime()
        with self._killed_after(limit_sec):
            vectors = self._answer()
        self._patience.longest_sec = max(self._patience.longest_sec, started.seconds())
        return vectors

    @contextlib.contextmanager
    def _killed_after(self, limit_sec: float | None) -> Iterator[None]:
        """Kill the process unless this context ends in time; what waits for it raises TeacherProcessError."""
        if limit_sec is None:
            yield
            return

        def kill() -> None:
            self._hung_sec = limit_sec
            self._process.kill()

        with Watchdog(limit_sec, kill):
            yield

    def _answer(self) -> Any:
        answer = self._receive()
        assert isinstance(answer, Answer)
        self.facts, self.batch_size = answer.facts, answer.batch_size
        self.cpu_sec = self._earlier_cpu_sec + answer.cpu_sec
        return answer.value

    def _receive(self) -> Any:
        try:
            while isinstance(message := self._process.channel.receive(), LogLine):
                self._log_once(message)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise TeacherProcessError(self._end()) from error
        if isinstance(message, Failed):
            self._process.close()
            raise TeacherProcessError(message.error) if isinstance(message.error, str) else message.error
        return message

    def _log_once(self, line: LogLine) -> None:
        if line.text not in self._logged:
            self._logged.add(line.text)
            log.log(line.level, "%s", line.text)

    def _end(self) -> str:
        how = self._process.end() or "it no longer answered"
        return f"no answer for {self._hung_sec:g} s" if self._hung_sec else how
