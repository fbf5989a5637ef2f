"""Several units on their way to a bucket at once: records in order, and whole units whatever ends the run.

The rows are made, so that neither videos nor a teacher are needed.
"""

import itertools
import threading
import time
import uuid
from datetime import timedelta

import fsspec
import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")

from embedonce.cache.errors import StorageError
from embedonce.cache.layout import LOCK
from embedonce.cache.store import has_cache
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.retries import RetryPolicy
from embedonce.cache.verify import verify
from tests.support.bucket_killing import killed_writer
from tests.support.bucket_states import Done, Recording, in_memory
from tests.support.crash_session import contents, examine_cache, resume
from tests.support.faulty_s3 import LOST_ANSWER, OTHER_BYTES, Request, faulty
from tests.support.places import QUICK, BucketPlace
from tests.support.s3_server import age, directed_to, new_bucket, s3_server
from tests.support.units_at_once import BATCHES, extract

LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)  # so that all requests are those of the session
UNITS = sorted(BATCHES)
WITH_SHARDS = [unit for unit in UNITS if BATCHES[unit].jpegs]
SECONDS_TO_COME = 60.0


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint, new_bucket(endpoint)


@pytest.fixture(scope="module")
def new_place(s3):
    """Patient, since a busy machine may refuse one of thousands of connections for a moment."""
    return lambda: BucketPlace(s3[0], f"s3://{s3[1]}/{uuid.uuid4().hex}", RetryPolicy(), lease_times=LONG)


@pytest.fixture(scope="module")
def whole(new_place) -> dict:
    """What a run leaves that nothing disturbs."""
    place = new_place()
    extract(place.location, "hdf5")
    return {"contents": contents(place.location, "hdf5"), "files": place.files(), "problems": problems(place.location)}


def problems(root) -> set[str]:
    """What verifying finds; also of a sound cache of these rows, which are not those of real videos."""
    return {problem.message for problem in verify(root).problems}


def at(proxy: str, place: BucketPlace) -> ObjectStore:
    """The same cache, reached through a proxy."""
    with directed_to(proxy):
        store = ObjectStore(ObjectRequests(place.url, QUICK), lease_times=LONG)
        store.exists("a")  # connects
    return store


def is_shard(request: Request, unit: str = "") -> bool:
    return request.method == "PUT" and f"/frames/{unit}" in request.path


def is_record(request: Request, unit: str = "") -> bool:
    return request.method == "PUT" and f"/records/{unit}" in request.path


def unit_of(request: Request) -> str:
    return request.path.rpartition("/")[2].partition(".")[0]


@pytest.fixture(scope="module")
def recorded(s3, new_place) -> tuple[Recording, BucketPlace, int]:
    """What a run sends, where to, and how many units were on their way at once.

    The first shard is carried out only when the second has arrived, and not answered until that has been.
    """
    place, found = new_place(), Recording()
    arrived, done = threading.Event(), threading.Event()

    def spoil(request: Request) -> None:
        found.arrived(request)
        arrived.set() if is_shard(request, "000001") else None

    def carried_out(request: Request) -> None:
        if is_shard(request, "000000"):
            assert arrived.wait(SECONDS_TO_COME) and done.wait(SECONDS_TO_COME), "the second shard waits for the first"
        found.done(request)
        done.set() if is_shard(request, "000001") else None

    with faulty(s3[0]) as (proxy, faults):
        faults.spoil, faults.carried_out = spoil, carried_out
        at_once = extract(at(proxy, place), "hdf5", found.mark)
    return found, place, at_once


# -- what is sent, and when --------------------------------------------------------------------------------------------


def test_records_are_published_in_order_each_after_its_shard_although_a_later_shard_is_stored_first(recorded, whole):
    found, place, at_once = recorded
    records = [event for event in found.events if isinstance(event, Request) and is_record(event)]
    assert 1 < at_once <= ObjectStore.puts_at_once and [unit_of(record) for record in records] == UNITS
    for record in records:
        done = [event.request for event in found.events[: found.events.index(record)] if isinstance(event, Done)]
        shards = [unit_of(request) for request in done if is_shard(request)]
        assert unit_of(record) in shards or unit_of(record) not in WITH_SHARDS
        assert all(other in done for other in records[: records.index(record)])
    assert place.files() == whole["files"]


def test_no_more_units_are_on_their_way_than_the_store_takes_at_once(s3, new_place):
    place, handed_over, all_together, ahead = new_place(), [], threading.Event(), []

    def between(unit: str) -> None:
        handed_over.append(unit)
        all_together.set() if len(handed_over) == ObjectStore.puts_at_once else None

    def carried_out(request: Request) -> None:
        if is_shard(request, "000000"):
            all_together.wait(SECONDS_TO_COME)
            time.sleep(0.3)  # in which another one would be handed over
            ahead.append(len(handed_over))

    with faulty(s3[0]) as (proxy, faults):
        faults.carried_out = carried_out
        extract(at(proxy, place), "hdf5", between=between)
    assert ahead == [ObjectStore.puts_at_once] and handed_over == UNITS


def test_a_unit_takes_two_requests(s3, new_place):
    place = new_place()
    with faulty(s3[0]) as (proxy, faults):
        extract(at(proxy, place), "hdf5")
    names = [f"/{folder}/{unit}" for folder in ("frames", "records") for unit in UNITS]
    about_units = [request for request in faults.requests if any(name in request.path for name in names)]
    assert len(about_units) == len(WITH_SHARDS) + len(UNITS)
    assert all(request.method == "PUT" and "if-none-match" in request.headers for request in about_units)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "is_spoiled", "fault"),
    [
        ("000000", is_shard, (403, "AccessDenied")),
        ("000003", is_shard, (500, "InternalError")),
        ("000003", is_shard, LOST_ANSWER),
        ("000002", is_record, LOST_ANSWER),
        ("000005", is_record, (403, "AccessDenied")),
    ],
)
def test_a_failing_upload_ends_the_run_and_leaves_the_units_before_it(s3, new_place, whole, unit, fault, is_spoiled):
    place = new_place()
    with faulty(s3[0]) as (proxy, faults):
        faults.spoil = lambda request: fault if is_spoiled(request, unit) else None
        with pytest.raises(StorageError, match=f"{unit}.* cannot be written"):
            extract(at(proxy, place), "hdf5")
    names = {name.partition(".")[0] for name in place.names("records")}
    carried_out = {unit} if (fault, is_spoiled) == (LOST_ANSWER, is_record) else set()
    assert names == {other for other in UNITS if other < unit} | carried_out
    found, complaints = examine_cache("hdf5", place.location)
    assert complaints == [] and found.items() <= whole["contents"].items()
    assert "Uploads" not in place.client.list_multipart_uploads(Bucket=place.bucket)
    assert resume("hdf5", whole["contents"], place.location, extract) == []
    assert place.files() == whole["files"]


def test_a_shard_that_arrives_changed_gets_no_record(s3, new_place, whole):
    place, spoiled = new_place(), "000001"
    with faulty(s3[0]) as (proxy, faults):
        faults.spoil = lambda request: OTHER_BYTES if is_shard(request, spoiled) else None
        with pytest.raises(StorageError, match=r"holds other bytes than were uploaded|several attempts"):
            extract(at(proxy, place), "hdf5")
    assert place.location.list("records") == ["records/000000.json"]
    assert f"frames/{spoiled}.h5" in place.location.list("frames")
    assert resume("hdf5", whole["contents"], place.location, extract) == [] and place.files() == whole["files"]


def test_an_interrupted_run_finishes_the_units_on_their_way(new_place, whole):
    place, handed_over = new_place(), []

    def between(unit: str) -> None:
        handed_over.append(unit)
        if len(handed_over) == ObjectStore.puts_at_once:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(place.location, "hdf5", between=between)
    assert [name.partition(".")[0] for name in place.names("records")] == handed_over
    assert len(place.names("frames")) == len(set(handed_over) & set(WITH_SHARDS))
    extract(place.location, "hdf5")
    assert place.files() == whole["files"]


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.crash
@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_request_leaves_whole_units_in_order_and_is_resumed(s3, new_place, whole, every):
    with faulty(s3[0]) as (proxy, faults):
        extract(at(proxy, new_place()), "hdf5")
    first = next(n for n, request in enumerate(faults.requests) if is_shard(request))
    for number, after in itertools.product(range(first, len(faults.requests) - 2, every), (False, True)):
        place = new_place()
        ended = killed_writer(s3[0], place.url, number, after, LONG, extract)
        assert ended.killed, f"it ended before request {number}"
        age(place.url, 2 * LONG.valid_sec)
        found, complaints = examine_cache("hdf5", place.location)
        assert complaints == [] and found.items() <= whole["contents"].items() and ended.acknowledged <= found.keys()
        names = [name.partition(".")[0] for name in place.names("records")]
        assert names == UNITS[: len(names)] and problems(place.location) <= whole["problems"]
        assert resume("hdf5", whole["contents"], place.location, extract) == [], f"killed at request {number}"
        assert place.files() == whole["files"]


def memory_state(requests: list[Request], prefix: str) -> str:
    """The URL of a state in memory, in which the lease of the dead writer has expired."""
    url = f"memory://{uuid.uuid4().hex}"
    in_memory(requests, prefix, url)
    file_system, root = fsspec.core.url_to_fs(url)
    for path, file in file_system.store.items():
        if path.startswith(f"{root}/{LOCK}/"):
            file.created -= timedelta(seconds=2 * LONG.valid_sec)
            file.modified -= timedelta(seconds=2 * LONG.valid_sec)
    return url


@pytest.mark.crash
def test_every_state_after_the_death_of_the_writer_holds_whole_units_in_order_and_is_resumed(recorded, whole):
    found, prefix = recorded[0], recorded[1].url.removeprefix("s3://")
    states = {(tuple(map(id, sent)), str(promised)): (sent, promised) for sent, promised in found.states()}
    stored = [{unit_of(request) for request in sent if is_shard(request)} for sent, _ in states.values()]
    assert {"000001"} in stored  # without the one before
    for sent, promised in states.values():
        store = ObjectStore(ObjectRequests(memory_state(sent, prefix)), lease_times=LONG)
        if not has_cache(store):
            assert not promised
            continue
        held, complaints = examine_cache("hdf5", store)
        assert complaints == [] and promised.items() <= held.items() <= whole["contents"].items()
        units = sorted(held.keys() & set(UNITS))
        assert units == UNITS[: len(units)] and problems(store) <= whole["problems"]
        assert resume("hdf5", whole["contents"], store, extract) == [], f"after {len(sent)} requests"
