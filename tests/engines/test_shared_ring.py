"""Buffers go through shared memory unchanged and in order, wait for room, and leave nothing behind."""

import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.engines.engine import EngineOptions, TaskDone, TaskFailed, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.engines.shared_ring import RingReader, RingWriter, shared_memories
from embedonce.pipeline.processes.shared_memory import SharedMemory
from tests.support.array_tasks import array, run_array_task
from tests.support.conformance.engine import wait_until
from tests.support.held_files import held_files, named_memory

ROOT = Path(__file__).parents[2]
MB = 1 << 20


@pytest.fixture
def ends():
    """(writer, reader, the pipe by which the reader says what it took) over 64 kB."""
    told, tells = multiprocessing.Pipe(duplex=False)
    memory = SharedMemory(1 << 16)
    yield RingWriter(memory, told), RingReader(memory, tells), tells
    memory.close()


def views(*arrays: np.ndarray) -> list[memoryview]:
    return [memoryview(one) for one in arrays]


def test_groups_of_any_size_come_out_as_they_went_in(ends):
    writer, reader, _ = ends
    sizes = np.random.default_rng(0).integers(1, 1 << 16, 200)
    sizes[::7] = 1 << 16  # all of the memory
    spans = [writer.write(views(array(0, sizes[0])))]
    for number, size in enumerate(sizes[1:], start=1):
        (found,) = reader.copied(spans.pop())
        np.testing.assert_array_equal(found, array(number - 1, sizes[number - 1]))
        spans.append(writer.write(views(array(number, size))))


def test_groups_that_are_not_taken_yet_are_not_overwritten(ends):
    writer, reader, _ = ends
    waiting, taken = [], 0
    for number in range(300):
        waiting.append((number, writer.write(views(array(number, 5000), array(number, 15)))))
        if len(waiting) > 1 + number % 11:
            first, spans = waiting.pop(0)
            for found, size in zip(reader.copied(spans), (5000, 15), strict=True):
                np.testing.assert_array_equal(found, array(first, size))
            taken += 1
    assert taken > 250


def test_a_writer_waits_until_there_is_room(ends):
    writer, reader, _ = ends
    first, written = writer.write(views(array(0, 40_000))), []
    thread = threading.Thread(target=lambda: written.append(writer.write(views(array(1, 40_000)))), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and not written
    np.testing.assert_array_equal(reader.copied(first)[0], array(0, 40_000))
    thread.join(60)
    np.testing.assert_array_equal(reader.copied(written[0])[0], array(1, 40_000))


def test_what_never_fits_is_not_written(ends):
    writer, reader, _ = ends
    assert writer.write(views(array(0, (1 << 16) + 1))) is None
    assert writer.write(views(*(array(0, 1) for _ in range(1025)))) is None  # each takes 64 bytes
    spans = writer.write(views(array(0, 1 << 16)))
    np.testing.assert_array_equal(reader.copied(spans)[0], array(0, 1 << 16))


def test_a_writer_without_a_reader_does_not_wait_for_ever(ends):
    writer, _, tells = ends
    writer.write(views(array(0, 1 << 16)))
    tells.close()
    with pytest.raises(EOFError):
        writer.write(views(array(0, 1 << 16)))


def test_buffers_that_are_used_in_place_are_overwritten_only_afterwards(ends):
    writer, reader, _ = ends
    spans = writer.write(views(array(0, 1 << 16)))
    with reader.in_place(spans) as (view,):
        assert not writer._taken.poll()
        np.testing.assert_array_equal(view, array(0, 1 << 16))
    assert writer._taken.poll()


# -- too little memory ---------------------------------------------------------------------------------------------


@pytest.fixture
def little_room():
    """No file of this process may grow beyond 1 MB, memory to share included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_memory_is_occupied_when_it_is_made_or_refused(little_room):
    before = open_descriptors()
    with pytest.raises(OSError):
        SharedMemory(2 * MB)
    memory = SharedMemory(MB)
    assert 512 * os.fstat(memory._descriptor).st_blocks >= MB
    memory.close()
    assert open_descriptors() == before


def test_without_enough_memory_values_go_through_pipes_and_one_line_says_so(little_room, caplog):
    with caplog.at_level(logging.WARNING):
        events = list(WorkerPool(run_array_task, EngineOptions(2, 60.0, shared_bytes=2 * MB)).run([ARRAYS, MORE]))
    check_arrays(events, {ARRAYS, MORE})
    (line,) = caplog.messages
    assert line.startswith("4 MB of memory to share with 2 processes are not available (File too large): ")


def test_systems_that_cannot_share_memory_so_use_pipes(monkeypatch, caplog):
    monkeypatch.delattr(os, "memfd_create")
    assert shared_memories(3, MB) == [None, None, None] and len(caplog.messages) == 1


def test_no_memory_is_made_unless_it_is_asked_for():
    assert shared_memories(2, 0) == [None, None] and shared_memories(0, MB) == []


# -- pools ---------------------------------------------------------------------------------------------------------

ARRAYS = ("arrays", (MB, 600_000, 2 * MB, 3 * MB, 10, 2 * MB))  # with one larger than the memory
MORE = ("arrays", (700_000,) * 12)


def check_arrays(events, tasks) -> None:
    """The values of these tasks arrived unchanged and in order."""
    for task in tasks:
        values = [event.value for event in events if isinstance(event, TaskResult) and event.task == task]
        assert [len(value) for value in values] == [1] * len(task[1])
        for number, (found, size) in enumerate(zip(values, task[1], strict=True)):
            np.testing.assert_array_equal(found[0], array(number, size))
    assert {event.task for event in events if isinstance(event, TaskDone)} == set(tasks)


def pool(workers: int) -> WorkerPool:
    return WorkerPool(run_array_task, EngineOptions(workers, 60.0, shared_bytes=2 * MB))


def test_values_of_a_pool_pass_through_its_memory_unchanged():
    check_arrays(list(pool(2).run([ARRAYS, MORE])), {ARRAYS, MORE})


def test_a_receiver_that_takes_its_time_overwrites_nothing():
    events = []
    for event in pool(1).run([MORE]):
        events.append(event)
        time.sleep(0.02)
    check_arrays(events, {MORE})


def test_a_process_killed_while_it_writes_fails_only_its_task_and_the_next_one_uses_its_memory():
    killed = ("kill while writing", MB)
    events = list(pool(1).run([MORE, killed, ARRAYS]))
    check_arrays(events, {MORE, ARRAYS})
    assert sum(isinstance(event, WorkerCrashed) for event in events) == 2
    reason = "decoding crashed the worker process (signal SIGKILL) (2 attempts)"
    assert TaskFailed(killed, reason) in events


def test_a_worker_has_its_memory_and_no_other_and_all_is_given_back():
    before = open_descriptors()
    events = list(pool(1).run([("descriptors", None)]))
    assert sum("memfd:embedonce" in name for name in events[0].value) == 1
    assert open_descriptors() == before


PROGRAM = """
import sys
from embedonce.pipeline.engines.engine import EngineOptions
from embedonce.pipeline.engines.process_pool import WorkerPool
from tests.support.array_tasks import run_array_task
options = EngineOptions(2, 60.0, shared_bytes=1 << 21)
for event in WorkerPool(run_array_task, options).run([("forever", sys.argv[1])] * 2):
    pass
"""


def test_a_killed_program_leaves_neither_memory_nor_processes(tmp_path):
    """Memory without a name cannot be left. Only its own processes are looked at: other tests use /dev/shm, too."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], cwd=ROOT, start_new_session=True)
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        held = held_files(program.pid)
        assert any("memfd:embedonce" in path for path in held) and not named_memory(held)
        os.kill(program.pid, signal.SIGKILL)
    finally:
        program.kill()
        program.wait()
    numbers = [path.name for path in tmp_path.iterdir()]
    wait_until(lambda: not any(os.path.exists(f"/proc/{number}") for number in numbers))
