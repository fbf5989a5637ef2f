"""What is said of URLs that cannot be read: one sentence, with the class that decides the exit code."""

import contextlib
import os
import subprocess
import sys

import pytest

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.failures import NoRangesError, RemoteError
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.remote_files.retries import with_retries
from tests.support.remote_runs import QUICK, new_run
from tests.support.s3_server import KEYS, directed_to, s3_server
from tests.support.slow_s3 import refusing
from tests.support.web_server import file_answers, serving


@pytest.fixture(autouse=True)
def run(tmp_path):
    with new_run(tmp_path / "spool"):
        yield


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hdfs://node/folder?key=secret", "hdfs://node/folder: videos cannot be read from hdfs://, only from local"),
        ("ssh://me:secret@host/folder", "ssh://host/folder: videos cannot be read from ssh://, only from local"),
        ("s3:///folder", "s3:///folder names no bucket or host; write s3://NAME/FOLDER"),
        ("https:///folder", "https:///folder names no bucket or host; write https://NAME/FOLDER"),
        ("https://host:port/folder", "https://host:port/folder is not a URL"),
        ("https://[host/folder?key=secret", "https://[host/folder is not a URL"),
        (
            "https://me:secret@host/folder",
            "https://host/folder: URLs must not contain user names or passwords; put",
        ),
        ("https://secret@host/folder", "https://host/folder: URLs must not contain user names or passwords; put"),
        ("s3://me:secret@bucket/folder", "s3://bucket/folder: URLs must not contain user names or passwords; use"),
        ("abfs://c:secret@account/folder", "abfs://account/folder: URLs must not contain user names or passwords"),
        ("az://bucket/folder?sig=secret", "az://bucket/folder: only the URLs of web servers may have a query"),
    ],
)
def test_impossible_urls(url, message):
    with pytest.raises(StorageError) as caught:
        RemoteFolder(url)
    assert str(caught.value).startswith(message) and "secret" not in str(caught.value)


def test_the_container_of_an_azure_url_is_no_password():
    assert str(RemoteFolder("abfs://container@account/folder")) == "abfs://container@account/folder"


def listing_error(url: str) -> tuple[type, str]:
    with pytest.raises((InputError, StorageError)) as caught:
        RemoteFolder(url).names()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500 and "secret" not in str(caught.value)
    return InputError if isinstance(caught.value, InputError) else StorageError, str(caught.value)


def test_a_bucket_that_is_not_there():
    with s3_server() as endpoint, directed_to(endpoint):
        kind, message = listing_error("s3://no-such-bucket/folder")
    assert (kind, message) == (StorageError, "the bucket of s3://no-such-bucket/folder does not exist")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("AccessDenied", 403, "access is refused (AccessDenied)"),
        ("ExpiredToken", 400, "the credentials have expired (ExpiredToken)"),
        ("InvalidAccessKeyId", 403, "the store does not accept the credentials (InvalidAccessKeyId)"),
        ("SignatureDoesNotMatch", 403, "the store does not accept the credentials (SignatureDoesNotMatch)"),
        ("RequestTimeTooSkewed", 403, "this machine's clock differs too much from the store's"),
    ],
)
def test_a_bucket_that_refuses(code, status, message):
    with refusing(code, status) as endpoint, directed_to(endpoint):
        kind, found = listing_error("s3://b/f")
    assert kind is StorageError and found.startswith(f"s3://b/f cannot be read: {message}")


def test_a_bucket_that_is_overloaded_for_good():
    with refusing("SlowDown", 503) as endpoint, directed_to(endpoint):
        kind, found = listing_error("s3://b/f")
    assert kind is StorageError and found.startswith("s3://b/f cannot be read, also after several attempts: ")


def test_no_credentials(monkeypatch):
    with s3_server() as endpoint, directed_to(endpoint):
        for name in KEYS:
            monkeypatch.delenv(name)
        kind, message = listing_error("s3://b/f")
    assert kind is StorageError and "there are no credentials for the store" in message


@pytest.mark.parametrize("url", ["s3://b/f", "http://127.0.0.1:9/folder/"])
def test_a_server_that_does_not_answer(url):
    with directed_to("http://127.0.0.1:9"):
        kind, message = listing_error(f"{url}?key=secret" if url.startswith("http:") else url)
    assert kind is StorageError and message.startswith(f"{url} cannot be read, also after several attempts: ")


def test_pages_that_are_not_there_and_pages_that_fail(tmp_path):
    with serving(file_answers(tmp_path)) as (address, traffic):
        url = f"{address}/nothing/?token=secret"
        assert listing_error(url) == (InputError, f"{address}/nothing/ does not exist")
        traffic.faults += [500] * QUICK.attempts
        kind, message = listing_error(f"{address}/?token=secret")
        assert kind is StorageError and "500" in message and traffic.faults == []
        traffic.faults += [403]
        assert "access is refused (403)" in listing_error(f"{address}/?token=secret")[1]


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_server_that_does_not_understand_is_not_taken_for_a_missing_folder(status):
    with serving(lambda path, headers: (status, {}, b"")) as (address, _):
        kind, message = listing_error(f"{address}/folder/?token=secret")
    assert kind is StorageError and f"{address}/folder/ cannot be read: " in message and str(status) in message


def test_a_page_of_another_kind_is_named(tmp_path):
    answer = (200, {"Content-Type": "application/xml", "Content-Length": "9"}, b"<bucket/>")
    with serving(lambda path, headers: answer) as (address, _):
        kind, message = listing_error(f"{address}/folder/")
    assert kind is InputError
    assert message == f"{address}/folder/ is not an index page with links to videos: it is application/xml"


def test_one_file_that_is_refused_does_not_stop_the_others(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"x" * 10)
    good = file_answers(tmp_path)
    with serving(lambda path, headers: (403, {}, b"") if "a.mp4" in path else good(path, headers)) as (address, _):
        folder = RemoteFolder(f"{address}/?token=secret")
        failures = folder.describe(["a.mp4", "b.mp4"] if set(folder.names()) >= {"a.mp4", "b.mp4"} else [])
    assert set(failures) == {"a.mp4"} and "access is refused (403)" in failures["a.mp4"]
    assert "secret" not in failures["a.mp4"] and (folder / "b.mp4").num_bytes == 10


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
RemoteFolder(sys.argv[2]).names()
"""


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [("s3fs", "s3://bucket/folder", "s3"), ("aiohttp", "https://127.0.0.1:9/folder/", "http")],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, url, extra):
    arguments = [sys.executable, "-c", MISSING, package, url]
    ran = subprocess.run(arguments, capture_output=True, text=True, env=os.environ)
    scheme = url.partition("://")[0]
    assert f'{scheme}:// needs a library: pip install "embedonce[{extra}]"' in ran.stderr.splitlines()[-1]


# -- retries -----------------------------------------------------------------------------------------------------------


def attempts_of(error: Exception | None, url: str = "memory://host/file") -> int:
    calls = []

    def request():
        calls.append(1)
        if error is not None:
            raise error

    with contextlib.suppress(RemoteError, NoRangesError):
        with_retries(request, url)
    return len(calls)


def test_only_what_may_pass_is_tried_again():
    assert attempts_of(ConnectionError("reset")) == QUICK.attempts
    final = (FileNotFoundError("x"), PermissionError("x"), NoRangesError())
    assert [attempts_of(error, "memory://other/file") for error in final] == [1, 1, 1]


def test_a_host_that_failed_for_good_is_asked_once_until_it_answers():
    down = ConnectionError("reset")
    found = [attempts_of(down), attempts_of(down), attempts_of(down, "memory://other/file")]
    assert found == [QUICK.attempts, 1, QUICK.attempts]
    assert [attempts_of(None), attempts_of(down)] == [1, QUICK.attempts]


def test_a_failure_of_the_server_is_not_taken_for_a_missing_file():
    """fsspec raises FileNotFoundError for whatever goes wrong while it asks a web server for a file's length."""
    error = FileNotFoundError("http://host/a.mp4")
    error.__cause__ = ValueError("half an answer")
    assert attempts_of(error) == QUICK.attempts
    with pytest.raises(RemoteError, match="half an answer") as caught:
        with_retries(lambda: raise_(error), "http://host/a.mp4")
    assert not caught.value.is_missing


def raise_(error: Exception):
    raise error


def test_signatures_in_addresses_are_not_shown():
    error = OSError("cannot get url='https://me:secret@host/a.mp4?X-Amz-Signature=secret' now")
    with pytest.raises(RemoteError) as caught:
        with_retries(lambda: raise_(error), "https://host/a.mp4?X-Amz-Signature=secret")
    assert "https://host/a.mp4" in str(caught.value) and "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value)
