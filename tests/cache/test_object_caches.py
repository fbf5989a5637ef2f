"""Whole caches in a bucket: damaged, with keys that no writer makes, behind a network and listings that do not hold.

Whatever happens: what is given is right, what is refused is refused in a sentence, and nothing committed is lost.
"""

import itertools
import re
import urllib.parse
from contextlib import closing, suppress

import numpy as np
import pytest

from embedonce.cache.errors import BusyError, CacheError, DamagedError, NotACacheError, StorageError
from embedonce.cache.layout import LOCK
from embedonce.cache.removal import planned, videos_removal
from embedonce.cache.repair import repair
from embedonce.cache.state import read_state
from embedonce.cache.store import has_cache, open_reader, open_writer
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity
from tests.support import faulty_s3
from tests.support.cache_doors import behind, given_and_refused
from tests.support.crash_session import contents, examine_cache, resume, run_session
from tests.support.faulty_s3 import Request, faulty
from tests.support.places import QUICK, BucketPlace
from tests.support.planned_cache import UNITS, commit_units, make_planned_cache
from tests.support.s3_server import directed_to

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def session(s3_endpoint, s3_bucket) -> dict:
    """What a session leaves in a bucket."""
    place = BucketPlace(s3_endpoint, f"s3://{s3_bucket}/session")
    run_session(place.location, "hdf5")
    given, refused = given_and_refused(place.location)
    assert not refused
    problems = problems_of(place, place.location)  # the session makes logits of no head
    return {"files": place.files(), "contents": contents(place.location, "hdf5"), "given": given, "problems": problems}


@pytest.fixture
def whole(session) -> dict:
    return session["contents"]


@pytest.fixture
def cache(session, bucket_place) -> BucketPlace:
    """A copy of it."""
    for name, data in session["files"].items():
        bucket_place.write(name, data)
    return bucket_place


def problems_of(place: BucketPlace, store: ObjectStore) -> set[str]:
    return {problem.message.replace(place.url, "") for problem in verify(store).problems}


@pytest.fixture
def through(s3_endpoint, bucket_place):
    """(faults, a store that reaches the same place through them)."""
    bucket_place.location.exists("a")  # connects directly
    with faulty(s3_endpoint) as (proxy, faults), directed_to(proxy):
        yield faults, ObjectStore.from_url(bucket_place.url, retries=QUICK)


def some(values, *usual: str) -> list:
    """All values; those that are not usual are left to the slow tests."""
    return [value if value in usual else pytest.param(value, marks=pytest.mark.slow) for value in values]


def always(fault, *methods: str):
    return lambda request: fault if request.method in methods else None


# -- damage ------------------------------------------------------------------------------------------------------------


def test_damage_to_any_object_is_found_before_anything_of_it_is_given(cache, session, tmp_path):
    good, given, generator = session["files"], session["given"], np.random.default_rng(0)
    names = [name for name in good if name != "manifest.json"]
    assert len(names) == 21
    for number, name in enumerate(names):
        data = bytearray(good[name])
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        cache.write(name, bytes(data) if number % 2 else good[name][: generator.integers(len(data))])
        found, _ = given_and_refused(cache.location)
        assert all(found[door] == given[door] for door in found), name
        assert set(found) == set(given) - behind(tmp_path / name, tmp_path), name
        cache.write(name, good[name])


@pytest.mark.slow
def test_a_damaged_unit_is_taken_out_and_made_again(bucket_place):
    make_planned_cache(bucket_place.location)
    good = bucket_place.files()
    bucket_place.write("frames/000003.h5", good["frames/000003.h5"][:-1])
    moved = [path.relative for removal in repair(bucket_place.location, None).removals for path in removal.files]
    assert moved == ["records/000003.json", "frames/000003.h5"]
    assert sorted(name.removeprefix("000001/") for name in bucket_place.names("removed")) == sorted(moved)
    with closing(open_writer(bucket_place.location, make_cache_identity())) as writer:
        commit_units(writer, UNITS)
    found = {name: data for name, data in bucket_place.files().items() if not name.startswith("removed/")}
    assert found == good and verify(bucket_place.location).problems == []


# -- keys that no writer makes -----------------------------------------------------------------------------------------

STRANGE = ("frames/../../outside", "../outside", "frames//000000.h5", "records/..", "plan/a\\b.json", "labels/../x/y")
SHADOWS = ("frames", "records", "plan", "labels/main", "records/000000.json/a", "cache.json/a", "labels/main/clips")


@pytest.mark.parametrize("key", some(STRANGE, "frames/../../outside"))
def test_keys_that_lead_elsewhere_are_never_followed(cache, session, whole, key):
    before = cache.files()
    cache.write(key, b"hostile")
    assert examine_cache("hdf5", cache.location) == (whole, []) and resume("hdf5", whole, cache.location) == []
    assert problems_of(cache, cache.location) == session["problems"]
    assert cache.files() == before | {key: b"hostile"}


@pytest.mark.parametrize("key", some(SHADOWS, "frames"))
def test_keys_that_shadow_folders_and_files_hide_nothing(cache, whole, key):
    """A reader refuses them or sees what was committed; a writer refuses them or ends with it."""
    before = cache.files()
    cache.write(key, b"hostile")
    found, complaints = examine_cache("hdf5", cache.location)
    assert (found, complaints) == (whole, []) or re.match("(Damaged|Storage)Error: ", complaints[0])
    with suppress(CacheError):
        run_session(cache.location, "hdf5")
    with suppress(CacheError):
        verify(cache.location)
    cache.delete(key)
    assert cache.files() == before and contents(cache.location, "hdf5") == whole


# -- objects that change between two looks -----------------------------------------------------------------------------


def test_an_object_that_goes_between_a_list_and_a_read_is_missed(cache, through):
    faults, store = through

    def deleting(request: Request, body: bytes) -> bytes:
        if is_listing(request) and f"prefix={cache.prefix}records/&" in urllib.parse.unquote(request.path):
            cache.delete("records/000001.json")
        return body

    faults.answer = deleting
    with pytest.raises(DamagedError, match=r"records/000001\.json is missing"):
        open_reader(store)


def test_nothing_is_given_of_a_shard_that_was_replaced_after_it_was_verified(cache):
    with closing(open_reader(cache.location)) as reader:
        jpeg = reader.frames("000000").jpeg(1)
        cache.write("frames/000000.h5", cache.read("frames/000000.h5")[::-1])
        with suppress(CacheError):
            assert reader.frames("000000").jpeg(1) == jpeg  # read before it was replaced
        reader.close()
        with pytest.raises(DamagedError, match=r"000000\.h5"):
            reader.frames("000000")


def test_a_shard_that_changes_while_it_is_verified_is_refused(cache, through):
    faults, store = through
    good = cache.read("frames/000000.h5")

    def swap(request: Request) -> None:
        if request.method == "GET" and request.path.endswith("/frames/000000.h5"):
            cache.write("frames/000000.h5", good[:-1] + bytes([good[-1] ^ 1]))

    faults.carried_out = swap
    with closing(open_reader(store)) as reader, pytest.raises(CacheError, match=r"000000"):
        reader.frames("000000").jpeg(0), reader.batch("000000")


# -- listings that lag behind ------------------------------------------------------------------------------------------

NEWEST = {
    "the last part of the plan": ("plan/000001.json",),
    "the last record": ("records/000003.json",),
    "the last record and part": ("records/000003.json", "plan/000001.json"),
    "all records": tuple(f"records/00000{number}.json" for number in range(4)),
    "the clips": ("labels/main/clips/000000.json",),
    "the revision": ("labels/main/revisions/000000.json",),
    "the label set": ("labels/main/label_set.json", "labels/main/tensors.safetensors"),
    "the identity": ("cache.json",),
    "the lease": (f"{LOCK}/000000.json",),
}


def is_listing(request: Request) -> bool:
    return "list-type=2" in request.path


def without(keys: set[str]):
    """Answers in which listings lack these keys."""

    def lagging(request: Request, body: bytes) -> bytes:
        if not is_listing(request):
            return body
        entry = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
        hidden = re.compile(rb"<Key>(%s)</Key>" % b"|".join(re.escape(key.encode()) for key in sorted(keys)))
        return entry.sub(lambda match: b"" if hidden.search(match[0]) else match[0], body)

    return lagging


@pytest.mark.parametrize("what", some(NEWEST, "the last record and part"))
def test_a_listing_that_lacks_the_newest_keys_makes_nothing_wrong(cache, session, whole, through, what):
    """Readers see what was committed before or refuse; writers refuse or end as they should; nothing is replaced."""
    faults, store = through
    before = cache.files()
    faults.answer = without({cache.prefix + name for name in NEWEST[what]})
    given, _ = given_and_refused(store)
    all_given = session["given"]
    assert all(
        given[door] == all_given[door] for door in given if door not in ("records", "timelines", "label set", "plan")
    )
    with suppress(CacheError):
        run_session(store, "hdf5")
    assert cache.files() == before
    faults.answer = lambda request, body: body
    assert contents(store, "hdf5") == whole and resume("hdf5", whole, store) == []


def check_writers_plan(store: ObjectStore) -> None:
    with closing(open_writer(store, make_cache_identity())) as writer:
        writer.check_plan()


@pytest.mark.parametrize("part", ["plan/000000.json", "plan/000001.json"])
def test_a_part_of_the_plan_that_is_not_listed_yet_is_not_called_damage(cache, through, part):
    faults, store = through
    removal = videos_removal(["v0"], is_withdrawal=True)
    faults.answer = without({cache.prefix + part})
    for use in (open_reader, read_state, verify, lambda store: planned(store, removal), check_writers_plan):
        with pytest.raises(StorageError, match=rf"plan was listed without {part[5:]}, which is there"):
            use(store)


def test_a_lease_that_is_not_listed_yet_is_respected(cache, through):
    faults, store = through
    with closing(open_writer(cache.location, make_cache_identity())):
        faults.answer = without({f"{cache.prefix}{name}" for name in store.list(LOCK)})
        assert store.list(LOCK) == []
        with pytest.raises(BusyError, match="is being written by process"):
            open_writer(store, make_cache_identity())


# -- networks and permissions ------------------------------------------------------------------------------------------

PASSING = (
    (500, "InternalError"),
    faulty_s3.LOST_ANSWER,
    (503, "SlowDown"),
    faulty_s3.LOST_REQUEST,
    faulty_s3.TRUNCATED,
)


def test_a_session_over_a_network_that_often_fails_ends_with_the_same_cache(through, bucket_place, session):
    faults, store = through
    numbers, kinds = itertools.count(), itertools.cycle(PASSING)

    def often(request: Request):
        if next(numbers) % 5:
            return None
        fault = next(kinds)
        return None if fault == faulty_s3.TRUNCATED and request.method != "GET" else fault

    faults.spoil = often
    run_session(store, "hdf5")
    assert len(faults.requests) > 100
    faults.spoil = lambda request: None
    assert bucket_place.files() == session["files"] and contents(store, "hdf5") == session["contents"]


def test_a_reader_without_permission_to_write_reads_and_a_writer_is_refused(cache, session, through):
    faults, store = through
    before = cache.files()
    faults.spoil = always((403, "AccessDenied"), "PUT", "POST", "DELETE")
    given, refused = given_and_refused(store)
    assert not refused and given == session["given"]
    assert problems_of(cache, store) == session["problems"]
    for call in (lambda: open_writer(store, make_cache_identity()), lambda: repair(store, None)):
        with pytest.raises(StorageError, match="access is refused") as caught:
            call()
        assert not isinstance(caught.value, DamagedError) and "\n" not in str(caught.value)
    assert cache.files() == before


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "InvalidAccessKeyId", "does not accept the credentials"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials"),
        (400, "ExpiredToken", "credentials have expired"),
        (403, "RequestTimeTooSkewed", "clock differs too much"),
        (404, "NoSuchBucket", "does not exist; create it first"),
    ],
)
def test_a_cache_that_cannot_be_reached_is_neither_damaged_nor_absent(cache, through, status, code, message):
    faults, store = through
    faults.spoil = always((status, code), "GET", "PUT", "POST", "DELETE")  # answers to HEAD have no code
    ways = (
        open_reader,
        verify,
        lambda where: open_writer(where, make_cache_identity()),
        lambda where: repair(where, None),
    )
    for way in ways:
        with pytest.raises(StorageError, match=message) as caught:
            way(store)
        assert not isinstance(caught.value, (DamagedError, NotACacheError)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("served", [60, *(pytest.param(served, marks=pytest.mark.slow) for served in (25, 90))])
def test_credentials_that_expire_in_the_middle_lose_nothing(through, bucket_place, served):
    faults, store = through
    numbers, promised = itertools.count(), {}
    faults.spoil = lambda request: None if next(numbers) < served else (400, "ExpiredToken")
    with pytest.raises(StorageError, match=r"credentials have expired|access is refused|cannot be") as caught:
        run_session(store, "hdf5", promised.__setitem__)
    assert not isinstance(caught.value, DamagedError)
    assert not has_cache(bucket_place.location) or len(bucket_place.names("records")) <= 4
    bucket_place.client.delete_object(Bucket=bucket_place.bucket, Key=f"{bucket_place.prefix}{LOCK}/000000.json")
    faults.spoil = lambda request: None
    run_session(bucket_place.location, "hdf5")
    assert len(contents(bucket_place.location, "hdf5")) == 14


def test_a_bucket_without_conditional_puts_is_refused_before_any_work(through, bucket_place):
    faults, store = through
    faults.spoil = always(faulty_s3.UNCONDITIONAL, "PUT")
    with pytest.raises(StorageError, match="has no conditional puts"):
        store.check_writable()
    assert bucket_place.files() == {}
