"""Writers to a bucket that are killed: by SIGKILL at any of their requests, and in the middle of an upload in parts."""

import dataclasses
import itertools
import re
import time

import pytest

from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.layout import LOCK
from embedonce.cache.store import has_cache
from embedonce.cache.stores import object_urls
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.retries import RetryPolicy
from embedonce.cache.verify import verify
from tests.support.bucket_killing import Ended, killed_writer
from tests.support.crash_session import UNITS, contents, examine_cache, resume, run_session
from tests.support.faulty_s3 import LOST_ANSWER, LOST_REQUEST, faulty
from tests.support.places import BucketPlace
from tests.support.s3_server import age, directed_to

pytestmark = pytest.mark.crash

LONG = LeaseTimes(valid_sec=3600, renew_sec=3600)  # so that all requests are those of the session
BRIEF = LeaseTimes(valid_sec=1.5, renew_sec=0.3)
CHANGING = {"clips", "y.mp4"}  # have other values before the end of the session
PART_BYTES = 5 << 20  # S3 allows no smaller parts


@pytest.fixture(scope="module")
def new_place(s3_endpoint, s3_bucket):
    """Patient, since a busy machine may refuse one of thousands of connections for a moment."""
    numbers, url = itertools.count(), f"s3://{s3_bucket}"
    return lambda times=LONG: BucketPlace(s3_endpoint, f"{url}/{next(numbers)}", RetryPolicy(), lease_times=times)


@pytest.fixture(scope="module")
def whole(new_place) -> dict:
    """What a session that nobody stops leaves."""
    place = new_place()
    run_session(place.location, "hdf5")
    found = contents(place.location, "hdf5")
    return {"contents": found, "problems": problems(place), "files": place.files()}


def problems(place: BucketPlace) -> set[str]:
    """What verifying finds; also of a sound session, which makes logits of no head."""
    return {problem.message.replace(place.url, "") for problem in verify(place.location).problems}


@pytest.fixture(scope="module")
def num_requests(s3_endpoint, new_place) -> int:
    with faulty(s3_endpoint) as (proxy, faults), directed_to(proxy):
        run_session(new_place().location, "hdf5")
        return len(faults.requests)


def examine_killed(place: BucketPlace, ended: Ended, whole: dict) -> None:
    """All that was acknowledged is there, every committed unit is whole and the one that it should be."""
    if not has_cache(place.location):
        assert not ended.acknowledged
        return
    found, complaints = examine_cache("hdf5", place.location)
    assert complaints == [] and problems(place) <= whole["problems"]
    assert all(whole["contents"][key] == value for key, value in found.items() if key not in CHANGING)
    assert ended.acknowledged - CHANGING <= found.keys()
    records = {name.partition(".")[0] for name in place.names("records")}
    assert {key for key in found if key in UNITS} == records


# -- killed processes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [60, pytest.param(9, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_request_leaves_whole_units_and_the_next_one_ends_its_work(
    s3_endpoint, new_place, whole, num_requests, every
):
    moments = list(itertools.product(range(every // 2, num_requests, every), (False, True)))
    for number, after in moments[:-1] if every > 9 else moments:
        place = new_place()
        ended = killed_writer(s3_endpoint, place.url, number, after, LONG)
        assert ended.killed, f"it ended before request {number}"
        is_released = (number, after) >= (num_requests - 2, True)  # by the last but one; the last one lists leases
        if place.location.list(LOCK, ".json") and not is_released:
            with pytest.raises(BusyError, match=f"by process {ended.process} on host .* since "):
                run_session(place.location, "hdf5")
        age(place.url, 2 * LONG.valid_sec)
        examine_killed(place, ended, whole)
        assert resume("hdf5", whole["contents"], place.location) == [], f"killed at request {number}"
        assert place.files() == whole["files"]


def test_the_lease_of_a_killed_writer_is_waited_for(s3_endpoint, new_place, whole, num_requests):
    place = new_place(BRIEF)
    ended = killed_writer(s3_endpoint, place.url, num_requests // 2, False, BRIEF)
    killed_at, refusals = time.monotonic(), []
    while True:
        try:
            run_session(place.location, "hdf5")
            break
        except BusyError as error:
            refusals.append(str(error))
            time.sleep(0.1)
    assert ended.killed and time.monotonic() - killed_at > BRIEF.valid_sec / 2 and refusals
    assert all(re.search(f"by process {ended.process} on host '.+' since .*; wait for it to end", t) for t in refusals)
    assert contents(place.location, "hdf5") == whole["contents"]


# -- uploads in parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [LOST_REQUEST, pytest.param(LOST_ANSWER, marks=pytest.mark.slow)])
def test_an_upload_in_parts_that_is_cut_off_leaves_no_object_and_its_parts_are_deleted(
    s3_endpoint, new_place, monkeypatch, fault
):
    monkeypatch.setitem(
        object_urls.SCHEMES, "s3", dataclasses.replace(object_urls.SCHEMES["s3"], part_bytes=PART_BYTES)
    )
    data = bytes(range(256)) * (PART_BYTES * 9 // 4 >> 8)
    for cut in itertools.count():
        place = new_place()
        with faulty(s3_endpoint) as (proxy, faults), directed_to(proxy):
            store, numbers = ObjectStore(ObjectRequests(place.url, RetryPolicy(attempts=1))), itertools.count()
            faults.spoil = lambda request, numbers=numbers, cut=cut: fault if next(numbers) >= cut else None
            try:
                store.put_if_absent("frames/a", data)
            except StorageError:
                ended = False
            else:
                ended = True
        found = place.files()
        assert found in ({}, {"frames/a": data}) and (found or not ended)
        place.location.recover(["frames"])
        assert "Uploads" not in place.client.list_multipart_uploads(Bucket=place.bucket)
        if ended:
            break
    assert cut >= 5  # a request to begin, three parts, one to end, and one to check
