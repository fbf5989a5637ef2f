"""What goes wrong between this program and a bucket: repeated if it may pass, else one sentence, never damage."""

import itertools
import uuid

import pytest

from embedonce.cache.errors import AlreadyCommittedError, DamagedError, StorageError
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.retries import RetryPolicy
from tests.support import faulty_s3
from tests.support.faulty_s3 import faulty
from tests.support.s3_server import directed_to, new_bucket, s3_server

DATA = b"unspoiled " * 200_000
QUICK = RetryPolicy(attempts=4, total_sec=30, first_wait_sec=0.01)


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint, new_bucket(endpoint)


@pytest.fixture
def url(s3):
    return f"s3://{s3[1]}/{uuid.uuid4().hex}"


@pytest.fixture
def direct(s3, url):
    """The same files as `store`, reached without the proxy."""
    store = ObjectStore.from_url(url, retries=QUICK)
    store.exists("a")  # connects
    return store


@pytest.fixture
def faults(s3):
    with faulty(s3[0]) as (endpoint, faults), directed_to(endpoint):
        yield faults


@pytest.fixture
def store(direct, faults, url):
    return ObjectStore.from_url(url, retries=QUICK)


def some_times(number: int, fault, *methods: str):
    """The first `number` requests of these methods are spoiled."""
    left = itertools.count()
    return lambda request: fault if request.method in methods and next(left) < number else None


def always(fault, *methods: str):
    return lambda request: fault if request.method in methods else None


# -- faults that pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [(500, "InternalError"), (503, "SlowDown"), faulty_s3.TRUNCATED, faulty_s3.LOST_ANSWER, faulty_s3.LOST_REQUEST],
)
def test_reads_are_repeated(store, direct, faults, fault):
    direct.put_if_absent("a", DATA)
    for read in (lambda: store.get("a"), lambda: store.open("a").read_at(0, len(DATA))):
        faults.spoil = some_times(2, fault, "GET")
        assert read() == DATA


def test_listing_and_looking_are_repeated(store, direct, faults):
    direct.put_if_absent("frames/a", DATA)
    for call in (lambda: store.list("frames") == ["frames/a"], lambda: store.exists("frames/a")):
        faults.spoil = some_times(2, (500, "InternalError"), "GET", "HEAD")
        assert call()


@pytest.mark.parametrize("fault", [(500, "InternalError"), (409, "ConditionalRequestConflict"), faulty_s3.LOST_REQUEST])
def test_uploads_are_repeated(store, direct, faults, fault):
    faults.spoil = some_times(2, fault, "PUT")
    store.put_if_absent("a", DATA)
    assert direct.get("a") == DATA
    faults.spoil = some_times(1, fault, "PUT")
    store.replace("a", DATA[:10])
    assert direct.get("a") == DATA[:10]


def test_an_upload_whose_answer_is_lost_is_recognized(store, direct, faults):
    faults.spoil = some_times(1, faulty_s3.LOST_ANSWER, "PUT")
    store.put_if_absent("a", DATA)
    assert direct.get("a") == DATA and sum(request.method == "PUT" for request in faults.requests) == 2
    faults.spoil = always(None)
    with pytest.raises(AlreadyCommittedError):  # another upload of the same bytes
        store.put_if_absent("a", DATA)


def test_anothers_upload_is_not_taken_for_the_own_one(store, direct, faults):
    direct.put_if_absent("a", DATA[:-1] + b"!")
    faults.spoil = some_times(1, faulty_s3.LOST_REQUEST, "PUT")
    with pytest.raises(AlreadyCommittedError):
        store.put_if_absent("a", DATA)
    faults.spoil = always(None)
    with pytest.raises(AlreadyCommittedError):  # the same bytes, but the first answer was no
        store.put_if_absent("a", DATA[:-1] + b"!")
    assert direct.get("a") == DATA[:-1] + b"!"


def test_a_replacement_whose_answer_is_lost_is_recognized(store, direct, faults):
    direct.put_if_absent("a", DATA)
    faults.spoil = some_times(1, faulty_s3.LOST_ANSWER, "PUT")
    store.replace_version("a", direct.version("a"), DATA[:10])
    assert direct.get("a") == DATA[:10] and sum(request.method == "PUT" for request in faults.requests) == 2


def test_a_store_that_cannot_compare_versions_replaces_under_the_lock(store, direct, faults):
    direct.put_if_absent("a", DATA)
    faults.spoil = lambda request: (501, "NotImplemented") if "if-match" in request.headers else None
    store.replace_version("a", direct.version("a"), DATA[:10])
    assert direct.get("a") == DATA[:10]


@pytest.mark.parametrize("handled", [FileNotFoundError("f"), PermissionError("p"), ConnectionError("c")])
def test_an_error_that_is_being_handled_does_not_explain_a_request(store, direct, handled):
    direct.put_if_absent("a", DATA)
    try:
        raise handled
    except OSError:
        assert not store.exists("b")
        with pytest.raises(DamagedError, match="b is missing"):
            store.get("b")
        with pytest.raises(AlreadyCommittedError):
            store.put_if_absent("a", DATA)
    try:
        store.put_if_absent("a", DATA)
    except AlreadyCommittedError:
        assert not store.exists("b")
        store.put_if_absent("b", DATA)


# -- faults that stay --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [(500, "InternalError"), faulty_s3.TRUNCATED, faulty_s3.LOST_ANSWER])
def test_attempts_end(store, direct, faults, fault):
    direct.put_if_absent("a", DATA)
    faults.spoil = always(fault, "GET")
    with pytest.raises(StorageError, match=r"cannot be read, also after several attempts: .*try again"):
        store.get("a")
    own = 2 if fault == faulty_s3.LOST_ANSWER else 1  # the client library repeats a request once on a new connection
    assert QUICK.attempts <= len(faults.requests) <= own * QUICK.attempts


def test_no_attempt_begins_after_the_total_time(s3, direct, faults, url):
    store = ObjectStore.from_url(url, retries=RetryPolicy(attempts=50, total_sec=0.0, first_wait_sec=0.01))
    faults.spoil = always((500, "InternalError"), "GET")
    with pytest.raises(StorageError, match="several attempts"):
        store.get("a")
    assert len(faults.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", r"access is refused \(AccessDenied\); check the credentials and their permissions"),
        (403, "InvalidAccessKeyId", "does not accept the credentials"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials"),
        (400, "ExpiredToken", r"the credentials have expired \(ExpiredToken\); renew them"),
        (403, "RequestTimeTooSkewed", "clock differs too much"),
    ],
)
def test_a_refusal_is_one_sentence_and_no_damage(store, direct, faults, status, code, message):
    direct.put_if_absent("a", DATA)
    faults.spoil = always((status, code), "GET", "PUT")
    for call in (lambda: store.get("a"), lambda: store.list(""), store.check_writable, lambda: store.lock(".lock")):
        with pytest.raises(StorageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value) and not isinstance(caught.value, DamagedError)


def test_a_refused_look_is_no_missing_file(store, faults):
    faults.spoil = always((403, "AccessDenied"), "HEAD")
    for call in (lambda: store.exists("a"), lambda: store.version("a"), lambda: store.open("a")):
        with pytest.raises(StorageError, match="access is refused"):
            call()


def test_missing_credentials_are_named(s3, url):
    with directed_to(s3[0], AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""), pytest.raises(StorageError) as caught:
        ObjectStore.from_url(url, retries=QUICK).get("a")
    assert "there are no credentials for the store" in str(caught.value)


def test_a_reader_without_permission_to_write_reads(store, direct, faults):
    direct.put_if_absent("a", DATA)
    faults.spoil = always((403, "AccessDenied"), "PUT", "POST", "DELETE")
    assert store.get("a") == DATA and store.list("") == ["a"] and store.digest("a")[0] == len(DATA)
    with pytest.raises(StorageError, match="access is refused"):
        store.check_writable()


def test_a_store_that_cannot_be_reached_is_one_sentence(url):
    with directed_to("http://127.0.0.1:9"), pytest.raises(StorageError, match="cannot be read, also after several"):
        ObjectStore.from_url(url, retries=QUICK).get("a")


# -- stores that lack what is needed -----------------------------------------------------------------------------------


def test_a_store_without_conditional_puts_is_refused_before_any_work(store, direct, faults):
    faults.spoil = always(faulty_s3.UNCONDITIONAL, "PUT")
    with pytest.raises(StorageError, match=r"has no conditional puts \(If-None-Match\)"):
        store.check_writable()
    assert direct.list("") == []


def test_a_store_that_refuses_conditional_puts_is_refused(store, direct, faults):
    faults.spoil = always((501, "NotImplemented"), "PUT")
    with pytest.raises(StorageError, match=r"does not support it \(NotImplemented\)"):
        store.check_writable()


def test_an_upload_that_arrives_changed_is_noticed(store, faults):
    faults.spoil = always(faulty_s3.OTHER_BYTES, "PUT")
    with pytest.raises(StorageError, match=r"holds other bytes than were uploaded|BadDigest|several attempts"):
        store.put_if_absent("a", DATA)


@pytest.mark.parametrize("write", [ObjectStore.put_if_absent, ObjectStore.replace])
def test_an_upload_whose_answer_has_its_checksum_is_one_request(store, faults, write):
    write(store, "a", DATA)
    assert [request.method for request in faults.requests] == ["PUT"]


def test_an_upload_whose_checksum_is_of_no_known_kind_is_read_again_at_its_end(store, direct, faults):
    faults.spoil = always(faulty_s3.OTHER_TAG, "PUT", "HEAD")
    store.put_if_absent("a", DATA)
    assert direct.get("a") == DATA and [request.method for request in faults.requests] == ["PUT", "HEAD", "GET"]
    kinds = {"PUT": faulty_s3.OTHER_BYTES, "HEAD": faulty_s3.OTHER_TAG}
    faults.spoil = lambda request: kinds.get(request.method)
    with pytest.raises(StorageError, match=r"holds other bytes than were uploaded|several attempts"):
        store.put_if_absent("b", DATA)


def test_records_appear_only_after_their_shards_when_the_connection_is_cut_at_any_request(direct, faults, url):
    """Every request of a commit is the last one once; then everything is done again."""
    policy = RetryPolicy(attempts=1)
    for fault, cut in itertools.product((faulty_s3.LOST_ANSWER, faulty_s3.LOST_REQUEST), range(6)):
        store, number = ObjectStore.from_url(url, retries=policy), itertools.count()
        faults.spoil = lambda request, fault=fault, cut=cut, number=number: fault if next(number) >= cut else None
        folder = f"{fault[5:]}-{cut}"
        ended = commit(store, folder)
        assert direct.exists(f"{folder}/shard") or not direct.exists(f"{folder}/record")
        assert not ended or direct.get(f"{folder}/record") == b"record"
        if direct.exists(f"{folder}/shard"):
            assert direct.get(f"{folder}/shard") == DATA
        faults.spoil = always(None)
        store.replace(f"{folder}/shard", DATA)
        if not direct.exists(f"{folder}/record"):
            store.put_if_absent(f"{folder}/record", b"record")
        assert direct.get(f"{folder}/record") == b"record"


def commit(store, folder: str) -> bool:
    try:
        store.put_if_absent(f"{folder}/shard", DATA)
        store.put_if_absent(f"{folder}/record", b"record")
    except StorageError:
        return False
    return True
