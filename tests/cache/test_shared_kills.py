"""Two writers of one cache, in every order of their requests, and killed at every one of them.

Whatever happens: no video or unit is planned twice, every record describes the bytes that are there, verification finds
nothing wrong, and an ordinary run finishes the rest.
"""

import itertools
import multiprocessing
import time
import uuid
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from embedonce.cache import plan_writer
from embedonce.cache.layout import LOCK, Layout
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from tests.support.memory_store import MemoryStore
from tests.support.shared_writers import VIDEOS, complaints, whole_problems, write
from tests.support.turns import Task, finish, taking_turns

pytestmark = pytest.mark.crash

FEW = {"a": range(5), "b": range(4)}  # three units
SMALL = 700  # bytes of a plan part: a unit each
LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)
STORES = {"memory": MemoryStore, "folder": LocalStore, "bucket": ObjectStore}


@pytest.fixture
def new_place(request, tmp_path, monkeypatch):
    """new_place() -> an empty store, in which requests are made one at a time."""
    numbers, kind = itertools.count(), request.param
    taking_turns(monkeypatch, STORES[kind])
    monkeypatch.setattr(plan_writer, "cut_parts", partial(cut_parts, num_bytes=SMALL))
    if kind == "bucket":
        return lambda: ObjectStore(ObjectRequests(f"memory://{uuid.uuid4().hex}"), lease_times=LONG)
    return MemoryStore if kind == "memory" else lambda: LocalStore(tmp_path / f"{next(numbers)}")


def expire(store) -> None:
    """Whoever was killed in a bucket holds its lock no longer."""
    if isinstance(store, ObjectStore):
        file_system, root = store._requests.open()
        for path, file in file_system.store.items():
            if path.startswith(f"{root}/{LOCK}/"):
                file.created -= timedelta(hours=2)
                file.modified -= timedelta(hours=2)


def parts(store, backend: str) -> tuple[Task, Task]:
    """Two writers who both plan and commit everything."""
    of_machine = (partial(write, store, backend, FEW, machine) for machine in (1, 2))
    return Task(next(of_machine)), Task(next(of_machine))


def num_requests(store, backend: str) -> int:
    task = Task(partial(write, store, backend, FEW))
    task.go_on()
    task.end()
    return task.num_requests


def sampled(total: int, every: int):
    return range(every // 2, total, every)


each_place = pytest.mark.parametrize(
    ("new_place", "backend", "every"),
    [
        ("memory", "webdataset", 20),
        pytest.param("memory", "webdataset", 1, marks=pytest.mark.slow),
        pytest.param("folder", "hdf5", 4, marks=pytest.mark.slow),
        pytest.param("bucket", "webdataset", 4, marks=pytest.mark.slow),
    ],
    indirect=["new_place"],
)


@each_place
def test_two_writers_in_every_order_do_everything_once(new_place, every, backend):
    total = num_requests(new_place(), backend)
    for before in sampled(total, every):
        store = new_place()
        first, second = parts(store, backend)
        first.go_on(before)
        second.go_on()
        finish(first, second)
        planned = [unit.name for task in (first, second) for unit in task.end()]
        assert sorted(planned) == ["000000", "000001", "000002"], f"after {before} requests"
        assert whole_problems(store, FEW) == [], f"after {before} requests"


@each_place
def test_a_writer_that_is_killed_beside_another_leaves_what_that_one_or_the_next_run_finishes(
    new_place, every, backend
):
    total = num_requests(new_place(), backend)
    moments = [(before, between) for before in sampled(total, every) for between in sampled(total, total // 3)]
    for before, between in moments:
        store, when = new_place(), f"killed after {before} requests, the other one was at {between}"
        dying, living = parts(store, backend)
        living.go_on(between)
        dying.go_on(before)
        dying.kill()
        expire(store) if living.num_requests < 20 else None  # it may wait for the lock of the dead one
        if Layout(store).identity.exists():
            assert complaints(store, FEW) == [], when
        finish(living)
        living.end()
        assert complaints(store, FEW) == [], when
        expire(store)
        write(store, backend, FEW, machine=3, is_shared=False)
        assert whole_problems(store, FEW) == [], when


@pytest.mark.slow
def test_processes_that_are_killed_at_any_time_beside_others_leave_what_the_next_run_finishes(tmp_path):
    context, num_killed = multiprocessing.get_context("fork"), 0
    alone = context.Process(target=write, args=(tmp_path / "alone", "hdf5", VIDEOS, 1))
    started = time.monotonic()
    alone.start(), alone.join(60)
    took = time.monotonic() - started  # with two others, which do a part of the work, at least a third of it
    for number, moment in enumerate(np.random.default_rng(0).uniform(0, took / 3, 20).tolist()):
        root = tmp_path / str(number)
        processes = [context.Process(target=write, args=(root, "hdf5", VIDEOS, machine)) for machine in (1, 2, 3)]
        for process in reversed(processes):  # the one that is killed is the last: starting the others may take long
            process.start()
        time.sleep(moment)
        processes[0].kill()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes[1:]] == [0, 0]
        num_killed += processes[0].exitcode != 0
        assert complaints(root) == []
        write(root, "hdf5", machine=4, is_shared=False)
        assert whole_problems(root) == []
    assert num_killed > 5, took
