"""Leases that several writers share in an object store: never beside one that is held alone, whatever happens."""

import itertools
import re
import threading
import uuid
from contextlib import closing, suppress
from datetime import timedelta

import pytest

from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.layout import LOCK
from embedonce.cache.stores import lease
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from tests.support.turns import Task, finish, taking_turns

BRIEF = LeaseTimes(valid_sec=0.6, renew_sec=0.1)
LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)


@pytest.fixture
def store():
    return new_store()


def new_store(times: LeaseTimes = LONG) -> ObjectStore:
    return ObjectStore(ObjectRequests(f"memory://{uuid.uuid4().hex}/cache"), lease_times=times)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that are added to the own clock."""
    clock, ahead = lease._clock, [0.0]
    monkeypatch.setattr(lease, "_clock", lambda: clock() + ahead[0])
    return ahead


def age(store, seconds: float = 2 * LONG.valid_sec) -> None:
    """As if all leases had been written some time ago, by the store's clock."""
    file_system, root = store._requests.open()
    for path, file in file_system.store.items():
        if path.startswith(f"{root}/{LOCK}/"):
            file.created -= timedelta(seconds=seconds)
            file.modified -= timedelta(seconds=seconds)


def shared(store):
    return store.lock(LOCK, is_shared=True)


def test_whoever_wants_it_alone_is_told_who_shares_it(store):
    with closing(shared(store)), pytest.raises(BusyError) as caught:
        store.lock(LOCK)
    message = (
        r"is being written by processes that share it, such as process \d+ on host '.+' since \d{4}-.*; wait for all"
    )
    assert re.search(message, str(caught.value))


def test_few_objects_are_left(store):
    for _ in range(3):
        with closing(store.lock(LOCK).share()), closing(shared(store)):
            assert len(store.list(LOCK)) == 3
    assert store.list(LOCK) == [f"{LOCK}/000002.json"]


def test_the_leases_of_killed_holders_keep_others_out_until_they_expire_and_are_deleted(store):
    killed = [shared(store) for _ in range(3)]
    age(store, LONG.valid_sec - 10)
    with pytest.raises(BusyError):
        store.lock(LOCK)
    age(store, 20)
    store.lock(LOCK).close()
    assert store.list(LOCK) == [f"{LOCK}/000000.json"] and len(killed) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_a_shared_lease_that_cannot_be_understood_is_respected_until_it_expires(store, content):
    store.put_if_absent(f"{LOCK}/shared-{'0' * 32}-000000.json", content)
    with pytest.raises(BusyError):
        store.lock(LOCK)
    age(store)
    store.lock(LOCK).close()


def test_shared_leases_are_renewed_in_the_background():
    store = new_store(BRIEF)
    with closing(shared(store)) as held:
        (name,) = store.list(LOCK)
        before, waiting = store.version(name), threading.Event()
        while store.version(name) == before:
            waiting.wait(0.02)
        held.check()


def test_a_holder_that_slept_goes_on_beside_others_with_another_object(store, clock):
    held, other = shared(store), shared(store)
    before = set(store.list(LOCK))
    clock[0] += LONG.valid_sec
    held.check()
    assert len(set(store.list(LOCK)) - before) == 1 and len(before - set(store.list(LOCK))) == 1
    other.close()
    with pytest.raises(BusyError):
        store.lock(LOCK)
    held.close()
    store.lock(LOCK).close()


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_holder_that_slept_while_another_held_it_alone_has_lost_it(store, clock, has_ended):
    held = shared(store)
    age(store)
    alone = store.lock(LOCK)
    alone.close() if has_ended else None
    clock[0] += LONG.valid_sec
    for _ in range(2):
        with pytest.raises(BusyError, match="is being written by process"):
            held.check()
    held.close()
    assert [name for name in store.list(LOCK) if "shared" in name] == []
    alone.close()


@pytest.mark.parametrize("has_ended", [False, True])
def test_who_held_it_alone_and_slept_while_others_shared_it_has_lost_it(store, clock, has_ended):
    alone = store.lock(LOCK)
    age(store)
    held = shared(store)
    held.close() if has_ended else None
    clock[0] += LONG.valid_sec
    with pytest.raises(BusyError):
        alone.check()
    held.close()


def test_a_renewal_that_arrives_late_does_not_bring_a_shared_lease_back(store, clock, monkeypatch):
    """It was on its way while another took the lock, used it and gave it back."""
    held, replace = shared(store), ObjectStore.replace

    def slow(self, name, data):
        monkeypatch.setattr(ObjectStore, "replace", replace)
        clock[0] += LONG.valid_sec
        age(self)
        self.lock(LOCK).close()
        return replace(self, name, data)

    clock[0] += LONG.renew_sec / 2
    monkeypatch.setattr(held, "_times", LeaseTimes(valid_sec=LONG.valid_sec, renew_sec=1))
    monkeypatch.setattr(ObjectStore, "replace", slow)
    with pytest.raises(BusyError):
        held.check()
    store.lock(LOCK).close()


def test_a_store_that_cannot_be_reached_is_no_lost_lease(store, clock, monkeypatch):
    held = shared(store)
    clock[0] += LONG.valid_sec

    def fails(*arguments):
        raise StorageError("the network is down")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put_if_absent", fails)
        with pytest.raises(StorageError, match="network is down"):
            held.check()
    held.check()
    held.close()


def test_an_expired_lease_cannot_be_shared_when_another_has_come(store, clock):
    alone = store.lock(LOCK)
    age(store)
    other = store.lock(LOCK)
    clock[0] += LONG.valid_sec
    with pytest.raises(BusyError):
        alone.share()
    other.check()
    assert [name for name in store.list(LOCK) if "shared" in name] == []


# -- two at once, in every order of their requests ---------------------------------------------------------------------


def schedules(first: int, second: int, every: int):
    """How many requests one makes before the other begins, and how many that one makes before the first goes on."""
    return itertools.product(range(first + 1), range(0, second + 1, every))


def num_requests(take) -> int:
    task = Task(take)
    task.go_on()
    task.end().close()
    return task.num_requests


def take_alone(store):
    return store.lock(LOCK)


def take_both(store):
    """As the first of several writers does."""
    return store.lock(LOCK).share()


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("one", "other", "at_most"),
    [
        (take_alone, take_alone, 1),
        (take_alone, shared, 1),
        (shared, take_alone, 1),
        (take_both, take_alone, 1),
        (take_both, take_both, 1),
        (take_both, shared, 2),
        (shared, shared, 2),
    ],
)
def test_two_that_exclude_each_other_are_never_both_let_in(monkeypatch, one, other, at_most, every):
    taking_turns(monkeypatch, ObjectStore)
    numbers, most = [num_requests(lambda take=take: take(new_store())) for take in (one, other)], 0
    for before, between in schedules(*numbers, every):
        store = new_store()
        first = Task(lambda store=store: attempt(one, store))
        first.go_on(before)
        second = Task(lambda store=store: attempt(other, store))
        second.go_on(between)
        finish(first, second)
        held = [lock for lock in (first.end(), second.end()) if lock is not None]
        assert len(held) <= at_most, f"after {before} and {between} requests"
        most = max(most, len(held))
        for lock in held:
            lock.check()
            lock.close()
        store.lock(LOCK).close()  # whoever was refused leaves nothing behind that keeps others out
    assert most == at_most


def attempt(take, store):
    with suppress(BusyError):
        return take(store)
    return None
