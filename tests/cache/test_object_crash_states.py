"""The death of a writer to a bucket: every state that it may leave is examined, and its session taken up again there.

What can be left follows from the requests that were sent: tests.support.bucket_states. All states are looked at in
memory, and some of them, more in the slow tests, on the S3 that the requests were recorded from.
"""

import contextlib
import dataclasses
import uuid
from collections.abc import Callable
from datetime import timedelta

import fsspec
import pytest

from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import LOCK
from embedonce.cache.store import has_cache
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import verify
from tests.conftest import make_batch
from tests.support.bucket_states import Done, Recording, in_memory, recording, replay
from tests.support.crash_session import UNITS, examine_cache, resume, run_session
from tests.support.recorded_operations import Mark
from tests.support.s3_server import age, objects

pytestmark = pytest.mark.crash

LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)  # so that the only requests are those of the session
EXPIRED_SEC = 2 * LONG.valid_sec
OTHER_ROWS, THIRD_ROWS = (  # as other machines may compute them
    UNITS | {"000001": make_batch(*UNITS["000001"].segments, seed=seed)} for seed in (8, 9)
)


def store_at(url: str) -> ObjectStore:
    return ObjectStore(ObjectRequests(url), lease_times=LONG)


@pytest.fixture(scope="module")
def record(s3_endpoint, s3_bucket) -> Callable[..., tuple[Recording, str]]:
    """record(session) -> what it sent to an empty prefix, and the prefix with its bucket."""

    def start(session=run_session) -> tuple[Recording, str]:
        prefix = f"{s3_bucket}/{uuid.uuid4().hex}"
        with recording(s3_endpoint) as found:
            session(store_at(f"s3://{prefix}"), "hdf5", found.mark)
        return found, prefix

    return start


@pytest.fixture(scope="module")
def session(record) -> tuple[Recording, str]:
    return record()


def memory_state(requests, prefix: str) -> str:
    """The URL of a state in memory, in which the lease of the dead writer has expired."""
    url = f"memory://{uuid.uuid4().hex}"
    in_memory(requests, prefix, url)
    file_system, root = fsspec.core.url_to_fs(url)
    for path, file in file_system.store.items():
        if path.startswith(f"{root}/{LOCK}/"):
            file.created -= timedelta(seconds=EXPIRED_SEC)
            file.modified -= timedelta(seconds=EXPIRED_SEC)
    return url


def s3_state(endpoint: str, requests, prefix: str) -> str:
    """The same in a bucket."""
    target = f"{prefix.partition('/')[0]}/{uuid.uuid4().hex}"
    replay(endpoint, requests, prefix, target)
    age(f"s3://{target}", EXPIRED_SEC)
    return f"s3://{target}"


def problems_of(url: str) -> set[str]:
    """What verifying says against a cache, if there is one."""
    if not has_cache(url):
        return set()
    return {problem.message.replace(url, "") for problem in verify(store_at(url)).problems}


def complaints_about(url: str, promised: dict, recorded: Recording, known: set[str]) -> list[str]:
    """What is wrong with a state, and with what comes of it when the session is taken up again.

    known: problems that the session itself makes, such as logits of no head.
    """
    problems = sorted(problems_of(url) - known)
    found, complaints = examine_cache("hdf5", store_at(url))
    lost = [f"{key} was promised and is lost or changed" for key, value in promised.items() if found.get(key) != value]
    return problems + complaints + lost + resume("hdf5", recorded.promises(), store_at(url))


def distinct(recorded: Recording) -> list[tuple[list, dict]]:
    """States of different requests or promises."""
    found = {(tuple(map(id, sent)), str(promised)): (sent, promised) for sent, promised in recorded.states()}
    return list(found.values())


# -- what the recording holds ------------------------------------------------------------------------------------------


def test_every_request_that_changes_something_is_recorded(session, s3_endpoint):
    recorded, prefix = session
    url = s3_state(s3_endpoint, recorded.requests(), prefix)
    memory = memory_state(recorded.requests(), prefix)
    file_system, root = fsspec.core.url_to_fs(memory)
    in_mind = {
        path.removeprefix(f"{root}/"): file.getvalue() for path, file in file_system.store.items() if root in path
    }
    assert objects(s3_endpoint, url) == objects(s3_endpoint, f"s3://{prefix}") == in_mind
    done = [event for event in recorded.events if isinstance(event, Done)]
    assert len(done) == len(recorded.requests()) > 20


def test_a_request_without_an_answer_is_carried_out_or_not(session):
    recorded, _ = session
    counts = [len(sent) for sent, _ in recorded.states()]
    assert set(counts) == set(range(len(recorded.requests()) + 1))
    first = recorded.events.index(recorded.requests()[0])
    assert [len(sent) for sent, _ in dataclasses.replace(recorded, events=recorded.events[: first + 1]).states()][
        -2:
    ] == [0, 1]


# -- what the cache promises -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_state_after_the_writers_death_is_valid_complete_and_can_be_resumed(session):
    recorded, prefix = session
    known = problems_of(f"s3://{prefix}")
    complaints = {
        f"after {len(sent)} requests": found
        for sent, promised in distinct(recorded)
        if (found := complaints_about(memory_state(sent, prefix), promised, recorded, known))
    }
    assert complaints == {}


@pytest.mark.parametrize("step", [40, pytest.param(8, marks=pytest.mark.slow)])
def test_states_of_a_bucket_are_valid_complete_and_can_be_resumed(session, s3_endpoint, step):
    recorded, prefix = session
    known = problems_of(f"s3://{prefix}")
    for sent, promised in distinct(recorded)[5::step]:
        url = s3_state(s3_endpoint, sent, prefix)
        assert complaints_about(url, promised, recorded, known) == [], f"after {len(sent)} requests"


def test_records_appear_only_after_their_whole_shards(session):
    recorded, prefix = session
    names = [request.path.partition(f"{prefix}/")[2] for request in recorded.requests() if request.method == "PUT"]
    for unit in ("000000", "000001", "000003"):
        assert names.index(f"frames/{unit}.h5") < names.index(f"records/{unit}.json")
    assert names.index("labels/main/logits/000000.h5") < names.index("labels/main/records/000000.json")
    for position, event in enumerate(recorded.events):
        if not isinstance(event, (Done, Mark)) and "/records/" in event.path:
            before = recorded.events[:position]
            assert all(isinstance(other, (Done, Mark)) or Done(other) in before for other in before)


# -- requests that arrive late -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_request_that_is_carried_out_after_another_writer_ended_changes_nothing_that_counts(session):
    """Its sender was suspended, or it was held up on its way, until the lease had expired and the work was done.

    Only a quarantine may come back that was lifted meanwhile: it holds no rows, and the next release deletes it.
    """
    recorded, prefix = session
    requests = recorded.requests()
    for number, late in enumerate(requests):
        url = memory_state(requests[:number], prefix)
        assert resume("hdf5", recorded.promises(), store_at(url)) == []
        in_memory([late], prefix, url)
        found, complaints = examine_cache("hdf5", store_at(url))
        found.pop("y.mp4", None)
        assert (found, complaints) == (recorded.promises(), []), f"after {late.method} {late.path}"


@pytest.mark.slow
def test_a_late_replacement_of_a_shard_does_not_reach_one_that_has_a_record(record, s3_endpoint):
    """Three machines compute one unit, each with other last bits: the first leaves its shard, the replacement that the
    second sends arrives when the third has replaced the shard and published its record."""
    first, prefix = record()
    shard = next(r for r in first.requests() if r.path.endswith("frames/000001.h5"))
    url = s3_state(s3_endpoint, first.requests()[: first.requests().index(shard) + 1], prefix)
    age(url, EXPIRED_SEC)
    with recording(s3_endpoint) as second:
        run_session(store_at(url), "hdf5", units=OTHER_ROWS)
    late = next(
        r for r in second.requests() if r.path.endswith("frames/000001.h5") and "if-none-match" not in r.headers
    )
    again = s3_state(s3_endpoint, first.requests()[: first.requests().index(shard) + 1], prefix)
    recorded = Recording()
    run_session(store_at(again), "hdf5", recorded.mark, units=THIRD_ROWS)
    replay(s3_endpoint, [late], url.removeprefix("s3://"), again.removeprefix("s3://"))
    assert examine_cache("hdf5", store_at(again)) == (recorded.promises(), [])


# -- what these tests would notice -------------------------------------------------------------------------------------


def record_before_shard(patch) -> None:
    put, shards = ObjectStore.put_if_absent, {}

    def swapped(store, name, data):
        if "frames/" in name or "logits/" in name:
            shards[name] = data
            return
        put(store, name, data)
        while shards:
            put(store, *shards.popitem())

    patch.setattr(ObjectStore, "put_if_absent", swapped)


def acknowledged_before_it_is_sent(patch) -> None:
    put, waiting = ObjectStore.put_if_absent, []

    def late(store, name, data):
        if "/records/" not in f"/{name}":
            return put(store, name, data)
        while waiting:
            put(store, *waiting.pop())
        waiting.append((name, data))
        return None

    patch.setattr(ObjectStore, "put_if_absent", late)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutate", "symptom"),
    [(record_before_shard, "is missing"), (acknowledged_before_it_is_sent, "was promised and is lost")],
)
def test_a_mutant_of_the_order_is_caught(record, monkeypatch, mutate, symptom):
    def mutated(*arguments) -> None:
        with monkeypatch.context() as patch, contextlib.suppress(DamagedError):
            patch.setattr(ObjectStore, "version", lambda store, name: FileVersion(0, ""))
            mutate(patch)
            run_session(*arguments)

    recorded, prefix = record(mutated)
    looks = (problems_and_losses(memory_state(sent, prefix), promised) for sent, promised in distinct(recorded))
    assert any(symptom in complaint for complaints in looks for complaint in complaints)


def problems_and_losses(url: str, promised: dict) -> list[str]:
    found, complaints = examine_cache("hdf5", store_at(url))
    lost = [f"{key} was promised and is lost" for key, value in promised.items() if found.get(key) != value]
    return [*problems_of(url), *complaints, *lost]
