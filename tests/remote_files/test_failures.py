"""What is said of URLs that cannot be read: one sentence, with the class that decides the exit code."""

import contextlib
import itertools
import os
import subprocess
import sys

import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files import retries
from embedonce.pipeline.remote_files.failures import Kind, NoRangesError, RemoteError, explain
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.remote_files.retries import ATTEMPTS, with_retries
from tests.support.object_store import aws_environment, s3_server
from tests.support.slow_s3 import refusing
from tests.support.web_server import file_answers, serving


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(retries, "_failed_at", {})
    monkeypatch.setattr(retries, "FIRST_PAUSE_SEC", 0.001)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hdfs://node/folder", "unknown kind, hdfs://; known are s3://, gs://, az://"),
        ("ssh://host/folder", "unknown kind, ssh://"),
        ("s3:///folder", "names no bucket or host; write s3://NAME/FOLDER"),
        ("https:///folder", "names no bucket or host"),
        ("https://me:secret@host/folder", "contains a user name"),
    ],
)
def test_impossible_urls(url, message):
    with pytest.raises(InputError, match=message) as caught:
        RemoteFolder(url)
    assert "secret" not in str(caught.value)


def listing_error(url: str) -> tuple[type, str]:
    with pytest.raises((InputError, StorageError)) as caught:
        RemoteFolder(url).names()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return InputError if isinstance(caught.value, InputError) else StorageError, str(caught.value)


def test_a_bucket_that_is_not_there():
    with s3_server() as endpoint, aws_environment(endpoint):
        kind, message = listing_error("s3://no-such-bucket/folder")
    assert (kind, message) == (InputError, "the bucket of s3://no-such-bucket/folder does not exist")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("AccessDenied", 403, "access to s3://b/f is denied"),
        ("ExpiredToken", 400, "the credentials for s3://b/f have expired"),
        ("InvalidAccessKeyId", 403, "the credentials for s3://b/f are not accepted"),
        ("SignatureDoesNotMatch", 403, "the credentials for s3://b/f are not accepted"),
        ("RequestTimeTooSkewed", 403, "the clock of this machine is wrong"),
        ("SlowDown", 503, "s3://b/f cannot be read"),
    ],
)
def test_a_bucket_that_refuses(code, status, message):
    with refusing(code, status) as endpoint, aws_environment(endpoint):
        kind, found = listing_error("s3://b/f")
    assert kind is StorageError and found.startswith(message)


def test_no_credentials():
    with s3_server() as endpoint, aws_environment(endpoint, has_keys=False):
        kind, message = listing_error("s3://b/f")
    assert kind is StorageError and message.startswith("there are no valid credentials for s3://b/f")


@pytest.mark.parametrize("url", ["s3://b/f", "http://127.0.0.1:9/folder/"])
def test_a_server_that_does_not_answer(url):
    with aws_environment("http://127.0.0.1:9"):
        kind, message = listing_error(url)
    assert kind is StorageError and message.startswith(f"{url} cannot be reached")


def test_pages_that_are_not_there_and_pages_that_fail(tmp_path):
    with serving(file_answers(tmp_path)) as (address, traffic):
        assert listing_error(f"{address}/nothing/?token=secret") == (
            InputError,
            f"{address}/nothing/ does not exist",
        )
        traffic.faults += [500] * ATTEMPTS
        kind, message = listing_error(f"{address}/")
        assert kind is StorageError and "500" in message and traffic.faults == []
        traffic.faults += [403]
        assert listing_error(f"{address}/")[1].startswith(f"access to {address}/ is denied")


def test_one_file_that_is_refused_does_not_stop_the_others(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"x" * 10)
    good = file_answers(tmp_path)
    with serving(lambda path, headers: (403, {}, b"") if "a.mp4" in path else good(path, headers)) as (address, _):
        folder = RemoteFolder(f"{address}/")
        failures = folder.describe(folder.names())
    assert set(failures) == {"a.mp4"} and "is denied" in failures["a.mp4"] and (folder / "b.mp4").num_bytes == 10


MISSING = """
import sys
sys.modules["s3fs"] = None
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
RemoteFolder("s3://bucket/folder").names()
"""


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    ran = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, env=os.environ)
    assert ran.stderr.splitlines()[-1].endswith(
        "s3:// needs the package s3fs; install it with: pip install 'embedonce[s3]'"
    )


# -- retries -----------------------------------------------------------------------------------------------------------


def test_only_what_may_pass_is_tried_again_with_longer_and_longer_pauses():
    calls, pauses = [], []

    def fail(error: Exception):
        calls.append(1)
        raise error

    def tried(error: Exception) -> int:
        calls.clear()
        with contextlib.suppress(RemoteError, NoRangesError):
            with_retries(lambda: fail(error), "memory://x", pauses.append)
        return len(calls)

    assert tried(ConnectionError("reset")) == ATTEMPTS == len(pauses) + 1
    assert all(later > sooner / 2 for sooner, later in itertools.pairwise(pauses)) and pauses[-1] > pauses[0]
    assert [tried(error) for error in (FileNotFoundError("x"), PermissionError("x"), NoRangesError())] == [1, 1, 1]


def test_a_host_that_failed_for_good_is_asked_once_until_it_answers():
    calls = []

    def answer(error: Exception | None, url: str = "memory://host/file") -> int:
        calls.clear()

        def call():
            calls.append(1)
            if error is not None:
                raise error

        with contextlib.suppress(RemoteError):
            with_retries(call, url, lambda seconds: None)
        return len(calls)

    down = ConnectionError("reset")
    assert [answer(down), answer(down), answer(down, "memory://other/file")] == [ATTEMPTS, 1, ATTEMPTS]
    assert [answer(None), answer(down)] == [1, ATTEMPTS]


def test_a_failure_of_the_server_is_not_taken_for_a_missing_file():
    """fsspec raises FileNotFoundError for whatever goes wrong while it asks a web server for a file's length."""
    error = FileNotFoundError("http://host/a.mp4")
    error.__cause__ = ValueError("half an answer")
    assert explain(error, "http://host/a.mp4").kind is Kind.PASSING


def test_signatures_in_addresses_are_not_shown():
    error = OSError("cannot get https://host/a.mp4?X-Amz-Signature=secret now")
    assert "secret" not in str(explain(error, "https://host/a.mp4?X-Amz-Signature=secret"))
