"""The loop of a teacher process: it loads the teacher itself, and embeds the batches that it is sent."""

import builtins
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.engines.channel import Channel
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.processes.worker_errors import with_traceback_note
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.modules import error_text, model_of_module
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions, TextTeacher, long_texts

THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Orders:
    """What a teacher process needs to know.

    module: file that registers the teacher. batch_size: None if the process is to choose it. most: of the sizes that it
    may choose. threads: to compute with on a CPU, unless the environment says how many.
    """

    module: Path | None
    options: TeacherOptions
    batch_size: int | None
    most: int
    threads: int


@dataclass(frozen=True)
class Loaded:
    """The teacher is ready. has_text: whether it is a TextTeacher. facts: as Teacher.device_facts()."""

    identity: TeacherIdentity
    has_text: bool
    facts: dict[str, str]


@dataclass(frozen=True)
class Embed:
    """A request for the (B, D) embeddings of B images, (S, S, 3) uint8 each."""

    images: list[np.ndarray]


@dataclass(frozen=True)
class ChooseBatchSize:
    """A request whose answer has the value None, and the batch size."""


@dataclass(frozen=True)
class ClassText:
    """A request for what TextTeacher.class_text() returns."""

    prompts: list[list[str]]


@dataclass(frozen=True)
class FindLongTexts:
    """A request for what LimitedTextTeacher.long_texts() returns; none if the teacher does not know."""

    prompts: list[list[str]]


@dataclass(frozen=True)
class DropTextTower:
    """A request whose answer has the value None."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    facts: as Teacher.device_facts(). batch_size: images that fit at once so far. cpu_sec: processor time that this
    process has used since the teacher was loaded.
    """

    value: Any
    facts: dict[str, str]
    batch_size: int
    cpu_sec: float


@dataclass(frozen=True)
class Failed:
    """The process cannot go on. error: to be raised in the parent; a text if the device may have failed."""

    error: Exception | str


@dataclass(frozen=True)
class LogLine:
    """Something for the log of the parent."""

    level: int
    text: str


def serve(channel: Channel, orders: Orders) -> None:
    """The main function of a teacher process. Answers come in the order of the requests."""
    os.environ.setdefault(THREADS, str(orders.threads))  # before torch is imported
    keep_freed_memory()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which would be left over: SIGKILL ends this process
    logging.basicConfig(handlers=[_Forwarding(channel)], level=logging.INFO)
    try:
        _serve(channel, *_loaded(channel, orders))
    except (EOFError, ConnectionError):
        raise  # the parent is gone
    except (Exception, SystemExit) as error:  # whatever a teacher raises
        text = error_text(error)
        if isinstance(error, Exception) and _is_known(error):
            channel.send(Failed(with_traceback_note(error)))
        else:
            channel.send(Failed(text))


def _loaded(channel: Channel, orders: Orders) -> tuple[Teacher, BatchedTeacher]:
    if orders.module is not None:
        model_of_module(orders.module, orders.options.model)
    teacher = loader_of(orders.options.model).load(orders.options)
    channel.send(Loaded(teacher.identity, isinstance(teacher, TextTeacher), teacher.device_facts()))
    return teacher, BatchedTeacher(teacher, orders.batch_size, orders.most)


def _serve(channel: Channel, teacher: Teacher, batched: BatchedTeacher) -> None:
    begun: deque[Callable[[], Any]] = deque()
    cpu_sec = time.process_time()
    while True:
        while not begun or (len(begun) < batched.ahead and channel.pipe.poll()):
            with channel.receive_in_place() as request:
                begun.append(_begun(teacher, batched, request))
                del request
        value = begun.popleft()()
        channel.send(Answer(value, teacher.device_facts(), batched.batch_size, time.process_time() - cpu_sec))


def _begun(teacher: Teacher, batched: BatchedTeacher, request: object) -> Callable[[], Any]:
    """What waits for the answer to a request."""
    if isinstance(request, Embed):
        return batched.begin(request.images)
    if isinstance(request, ChooseBatchSize):
        return batched.choose_batch_size
    assert isinstance(teacher, TextTeacher)
    if isinstance(request, FindLongTexts):
        return partial(long_texts, teacher, request.prompts)
    return partial(teacher.class_text, request.prompts) if isinstance(request, ClassText) else teacher.drop_text_tower


def _is_known(error: Exception) -> bool:
    """Whether the parent knows the class of an error, which then says more than that the device may have failed."""
    name = type(error).__module__
    return name.startswith("embedonce.") or (name == builtins.__name__ and isinstance(error, (OSError, MemoryError)))


class _Forwarding(logging.Handler):
    """Sends what is logged to the parent."""

    def __init__(self, channel: Channel):
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(EOFError, OSError):  # the parent is gone
            self._channel.send(LogLine(record.levelno, record.getMessage()))
