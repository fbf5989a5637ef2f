"""The lease of a writer in an object store: one holder at a time, whatever the clocks of the machines say."""

import json
import re
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing

import pytest

from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.stores import lease
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore

LOCK = ".writer.lock"
BRIEF = LeaseTimes(valid_sec=0.6, renew_sec=0.1)
LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/cache"


@pytest.fixture
def store(url):
    return ObjectStore(ObjectRequests(url), lease_times=LONG)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that are added to the own clock."""
    clock, ahead = lease._clock, [0.0]
    monkeypatch.setattr(lease, "_clock", lambda: clock() + ahead[0])
    return ahead


def aged(store, seconds: float, number: int = 0) -> None:
    """As if a lease had been written some time ago, by the store's clock."""
    from datetime import timedelta

    file_system, root = store._requests.open()
    file = file_system.store[f"{root}/{LOCK}/{number:06d}.json"]
    file.created -= timedelta(seconds=seconds)
    file.modified -= timedelta(seconds=seconds)


def test_the_holder_is_named(store):
    with closing(store.lock(LOCK)), pytest.raises(BusyError) as caught:
        store.lock(LOCK)
    message = r"is being written by process \d+ on host '.+' since \d{4}-\d\d-\d\d .*; wait for it to end"
    assert re.search(message, str(caught.value)) and str(caught.value).startswith("memory://")


def test_a_released_lease_is_free_at_once_and_few_objects_are_left(store):
    for _ in range(4):
        with closing(store.lock(LOCK)) as held:
            held.check()
    assert store.list(LOCK) == [f"{LOCK}/000003.json"]


def test_a_killed_holders_lease_is_taken_when_it_has_expired_and_not_before(store):
    first = store.lock(LOCK)
    aged(store, LONG.valid_sec - 10)
    with pytest.raises(BusyError):
        store.lock(LOCK)
    aged(store, 20)
    with closing(store.lock(LOCK)) as second:
        second.check()
    assert first._number == 0 and second._number == 1


def test_the_holders_own_time_of_validity_counts(store, url):
    store.lock(LOCK)
    aged(store, LONG.valid_sec / 2)
    with pytest.raises(BusyError, match="expires 3600 seconds after"):
        ObjectStore(ObjectRequests(url), lease_times=BRIEF).lock(LOCK)


@pytest.mark.parametrize("skew", [-1e6, 1e6])
def test_the_own_clock_does_not_matter(store, monkeypatch, skew):
    store.lock(LOCK)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + skew)
    with pytest.raises(BusyError):
        store.lock(LOCK)
    aged(store, LONG.valid_sec + 10)
    store.lock(LOCK).close()


def test_a_holder_renews_in_the_background(url):
    store = ObjectStore(ObjectRequests(url), lease_times=BRIEF)
    with closing(store.lock(LOCK)) as held:
        before = store.version(f"{LOCK}/000000.json")
        renewed = threading.Event()
        while store.version(f"{LOCK}/000000.json") == before:
            assert not renewed.wait(0.02)
        held.check()
        assert held._number == 0


def test_a_holder_that_lost_its_lease_is_told_who_has_it(store, clock):
    first = store.lock(LOCK)
    aged(store, LONG.valid_sec + 10)
    second = store.lock(LOCK)
    clock[0] += LONG.valid_sec
    for _ in range(2):
        with pytest.raises(BusyError, match="is being written by process"):
            first.check()
    first.close()
    with pytest.raises(BusyError):  # closing the lost lease does not release the other's
        store.lock(LOCK)
    second.close()


def test_a_holder_that_slept_takes_the_next_number_and_never_renews_its_own(store, clock):
    held = store.lock(LOCK)
    before = store.version(f"{LOCK}/000000.json")
    clock[0] += LONG.valid_sec
    held.check()
    assert held._number == 1 and store.version(f"{LOCK}/000000.json") == before
    with pytest.raises(BusyError):
        store.lock(LOCK)
    held.close()


def test_a_holder_that_cannot_reach_the_store_says_so(store, clock, monkeypatch):
    held = store.lock(LOCK)
    clock[0] += LONG.valid_sec

    def fails(*arguments):
        raise StorageError("the network is down")

    for name in ("put_if_absent", "replace"):
        monkeypatch.setattr(ObjectStore, name, fails)
    with pytest.raises(StorageError, match="network is down"):
        held.check()


def test_a_renewal_that_took_too_long_does_not_count(store, clock, monkeypatch):
    """Another may have taken the lease while the request was on its way."""
    held, replace = store.lock(LOCK), ObjectStore.replace

    def slow(self, name, data):
        clock[0] += LONG.valid_sec
        return replace(self, name, data)

    monkeypatch.setattr(ObjectStore, "replace", slow)
    clock[0] += LONG.renew_sec / 2
    monkeypatch.setattr(held, "_times", LeaseTimes(valid_sec=LONG.valid_sec, renew_sec=1))
    held.check()
    assert held._number == 1


def test_one_of_many_takes_a_free_lease(store):
    start, held = threading.Barrier(8), []

    def take():
        start.wait()
        try:
            held.append(store.lock(LOCK))
        except BusyError:
            return

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", json.dumps({"valid_sec": 1e9}).encode(), b"x" * 10_000]
)
def test_a_lease_that_cannot_be_understood_is_respected_until_it_expires(store, content):
    store.put_if_absent(f"{LOCK}/000000.json", content)
    with pytest.raises(BusyError, match="another process"):
        store.lock(LOCK)
    aged(store, LONG.valid_sec + 10)
    store.lock(LOCK).close()


def test_a_lease_that_is_not_listed_yet_counts(store, monkeypatch):
    with closing(store.lock(LOCK)):
        monkeypatch.setattr(ObjectStore, "list", lambda *arguments: [])
        with pytest.raises(BusyError):
            store.lock(LOCK)


def test_an_expired_lease_that_is_not_listed_is_taken(store, monkeypatch):
    store.lock(LOCK)
    aged(store, LONG.valid_sec + 10)
    monkeypatch.setattr(ObjectStore, "list", lambda *arguments: [])
    with closing(store.lock(LOCK)) as taken:
        assert taken._number == 1


def test_a_number_that_others_took_and_deleted_is_not_a_lease(store, clock, monkeypatch):
    """The holder is suspended between its last look and its request."""
    held = store.lock(LOCK)
    aged(store, LONG.valid_sec + 10)
    for _ in range(2):
        store.lock(LOCK).close()
    assert store.list(LOCK) == [f"{LOCK}/000002.json"]
    monkeypatch.setattr(held, "_next_after_own", lambda: 1)
    clock[0] += LONG.valid_sec
    with pytest.raises(BusyError):
        held.check()


def test_an_ended_process_does_not_wait_for_its_lease():
    code = (
        "from embedonce.cache.stores.object_store import ObjectStore\n"
        "held = ObjectStore.from_url('memory://a/b').lock('.lock')\n"
        "print(held._number)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout == "0\n"
