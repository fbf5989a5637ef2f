"""A teacher in a process of its own, as its parent sees it."""

import logging
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.engines.child_process import ChildProcess
from embedonce.pipeline.engines.shared_ring import SharedMemory
from embedonce.pipeline.teachers.lanes import Images, TeacherProcessError
from embedonce.pipeline.teachers.serving import Answer, DropTextTower, Embed, Failed, Loaded, LogLine, Orders, serve

log = logging.getLogger(__name__)

MAX_IMAGES_AHEAD = 512  # of a batch: what describes a larger one may fill the pipe, while the process fills the other


class TeacherProcess:
    """Loads a teacher in a spawned process and sends it requests, whose answers come in their order."""

    def __init__(self, name: str, orders: Orders, memory: SharedMemory | None, logged: set[str]):
        """Start the process.

        name: for messages. memory: what images pass through; without, they take the pipe. logged: what the processes of
        a group have logged, which need not be logged again.
        """
        self.name, self.orders, self._logged = name, orders, logged
        self.facts: dict[str, str] = {}
        self.batch_size = orders.batch_size
        self.cpu_sec = self._earlier_cpu_sec = 0.0  # processor time, without that of loading
        self.loaded: Loaded | None = None
        self._memory, self._has_dropped_text = memory, False
        self._process = ChildProcess(serve, (orders,), to_child=memory)

    @property
    def identity(self) -> TeacherIdentity:
        assert self.loaded is not None, "wait_until_loaded() comes first"
        return self.loaded.identity

    @property
    def ahead(self) -> int:
        """As Member.ahead: 2 if a second batch surely fits into the memory, so that sending it waits for nothing."""
        image_bytes = 3 * self.identity.input_size**2
        room = self._memory.num_bytes // 2 if self._memory is not None else 0
        return 2 if self.batch_size <= min(MAX_IMAGES_AHEAD, room // image_bytes) else 1

    def wait_until_loaded(self) -> None:
        """Raises what loading the teacher raised; TeacherProcessError if the process ended."""
        answer = self._receive()
        assert isinstance(answer, Loaded)
        self.loaded, self.facts = answer, answer.facts

    def begin(self, images: Images) -> Callable[[], np.ndarray]:
        self._send(Embed(list(images)))
        return self._answer

    def call(self, request: object) -> Any:
        """The answer to a request, while no other one waits."""
        self._send(request)
        return self._answer()

    def drop_text_tower(self) -> None:
        self._has_dropped_text = True
        self.call(DropTextTower())

    def restart(self) -> None:
        """As ProcessMember.restart()."""
        self._process.close()
        self._earlier_cpu_sec = self.cpu_sec
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
        return self._process.end() or "it no longer answered"
