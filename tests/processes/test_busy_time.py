"""Time of work is added up, and time of waiting is not."""

import os
import threading

import pytest

from embedonce.pipeline.engines import engine
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.processes.cores import cpu_seconds, usable_cores
from tests.support.fake_clock import FakeClock


def test_contexts_and_calls_add_up_and_the_time_between_them_does_not():
    clock = FakeClock()
    busy = BusyTime(clock)
    with busy.working():
        clock.advance(2)
    clock.advance(50)
    assert busy.call(lambda a, b: clock.advance(3) or a + b, "x", "y") == "xy" and busy.seconds == 5
    with pytest.raises(KeyError), busy.working():
        clock.advance(4)
        raise KeyError
    assert busy.seconds == 9


def test_several_threads_at_once_count_each():
    clock, inside = FakeClock(), threading.Barrier(4)
    busy = BusyTime(clock)

    def work():
        with busy.working():
            inside.wait()  # all have begun
            inside.wait()  # the clock was advanced

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside.wait()
    clock.advance(2)
    inside.wait()
    for thread in threads:
        thread.join()
    assert busy.seconds == 6


def counting(clock: FakeClock, stop: int):
    """Takes a second before each value, and two before its end."""
    for n in range(stop):
        clock.advance(1)
        yield n
    clock.advance(2)


def test_making_values_counts_and_receiving_them_does_not():
    clock = FakeClock()
    busy = BusyTime(clock)
    for _ in busy.during(counting(clock, 3)):
        clock.advance(100)
    assert busy.seconds == 3 + 2 and list(busy.during([])) == []


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_task_ends_with_the_time_of_its_function(monkeypatch, is_broken):
    clock = FakeClock()
    monkeypatch.setattr(engine, "BusyTime", lambda: BusyTime(clock))

    def function(task):
        yield from counting(clock, task)
        if is_broken:
            raise ValueError("bad header")

    for event in engine.run_task(function, 3):  # noqa: B007  # the last one is examined
        clock.advance(100)
    assert event == (engine.TaskFailed(3, "bad header") if is_broken else engine.TaskDone(3)) and event.busy_sec == 5


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_processor_time_includes_that_of_children(monkeypatch):
    monkeypatch.setattr(os, "times", lambda: os.times_result((1.0, 20.0, 300.0, 4000.0, 99.0)))
    assert cpu_seconds() == 4321.0
