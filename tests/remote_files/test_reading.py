"""Reading files behind URLs: the same bytes as from a disk, each downloaded once, whatever the connection does."""

import contextlib
import dataclasses
import os
import random
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")

from embedonce.pipeline.remote_files import ranged_file, spool
from embedonce.pipeline.remote_files.failures import RemoteError
from embedonce.pipeline.remote_files.remote_file import RemoteFile
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.remote_files.spool import BLOCK_BYTES, Spool
from tests.support.remote_runs import QUICK, new_run
from tests.support.s3_server import client, directed_to, s3_server, upload
from tests.support.web_server import file_answers, proxy_answers, serving

SIZE = 21 * BLOCK_BYTES + 1234
BUCKET = "videos"


@pytest.fixture(autouse=True)
def run(tmp_path):
    with new_run(tmp_path / "copies"):
        yield


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "files" / "in one").mkdir(parents=True)
    (tmp_path / "files" / "in one" / "big #1.bin").write_bytes(random.Random(0).randbytes(SIZE))
    return tmp_path / "files"


@pytest.fixture(params=["https", "s3"])
def served(request, root, s3):
    """(folder, its traffic, a function that puts other bytes behind its file)."""
    if request.param == "https":
        with serving(file_answers(root)) as (address, traffic):
            yield RemoteFolder(f"{address}/"), traffic, (root / "in one" / "big #1.bin").write_bytes
        return
    bucket = f"{BUCKET}-{time.monotonic_ns()}"
    upload(s3, bucket, root)

    def replace(data: bytes) -> None:
        client(s3).put_object(Bucket=bucket, Key="in one/big #1.bin", Body=data)

    with serving(proxy_answers(s3)) as (address, traffic), directed_to(address):
        yield RemoteFolder(f"s3://{bucket}"), traffic, replace


def only_file(folder: RemoteFolder) -> RemoteFile:
    assert folder.names() == ["in one/big #1.bin"] and folder.describe(folder.names()) == {}
    return folder / "in one/big #1.bin"


@pytest.fixture
def data(root) -> bytes:
    return (root / "in one" / "big #1.bin").read_bytes()


def test_a_listing_states_name_length_and_time(served, root):
    file = only_file(served[0])
    status = (root / "in one" / "big #1.bin").stat()
    assert (file.name, file.stem, file.num_bytes) == ("big #1.bin", "big #1", SIZE)
    assert file.version and file.stat().st_size == SIZE and file.stat().st_mtime_ns == file.modified_ns
    assert abs(file.modified_ns - status.st_mtime_ns) < 3600 * 10**9


def test_ranges_anywhere_are_those_of_the_file_and_are_downloaded_once(served, data):
    folder, traffic, _ = served
    file, generator = only_file(folder), random.Random(1)
    traffic.clear()
    for _ in range(2):  # the second time all is on this machine
        with file.open() as opened:
            for _ in range(60):
                start, length = generator.randrange(SIZE + 10), generator.randrange(3 * BLOCK_BYTES)
                opened.seek(start)
                assert opened.read(length) == data[start : start + length]
            opened.seek(0)
            assert opened.read() == data and opened.read(1) == b"" and opened.seek(-3, os.SEEK_END) == SIZE - 3
    assert traffic.total == SIZE


def test_a_short_read_downloads_little_and_a_long_one_in_large_requests(served, data):
    folder, traffic, _ = served
    file = only_file(folder)
    traffic.clear()
    with file.open() as opened:
        opened.seek(10 * BLOCK_BYTES + 7)
        assert opened.read(100) == data[10 * BLOCK_BYTES + 7 :][:100]
    assert traffic.total == BLOCK_BYTES
    traffic.clear()
    with file.open() as opened:
        assert opened.read() == data
    assert traffic.total == SIZE - BLOCK_BYTES
    assert len([request for request in traffic.requests if request.endswith("206")]) < 9


def test_two_places_that_are_read_in_turns_are_both_read_ahead(served, data):
    folder, traffic, _ = served
    with only_file(folder).open() as opened:
        for step in range(8):
            for start in (step * BLOCK_BYTES, (10 + step) * BLOCK_BYTES):
                opened.seek(start)
                assert opened.read(BLOCK_BYTES) == data[start : start + BLOCK_BYTES]
    assert len([request for request in traffic.requests if request.endswith("206")]) <= 8


@pytest.mark.parametrize("faults", [[500], ["truncated"], ["short"], [503, "truncated", "short", 500]])
def test_a_failed_or_cut_off_answer_is_asked_for_again(served, data, faults):
    folder, traffic, _ = served
    file = only_file(folder)
    traffic.faults += faults
    with file.open() as opened:
        assert opened.read() == data
    assert traffic.faults == []


@pytest.mark.parametrize("fault", [500, "truncated", "short"])
def test_retries_end_and_the_file_never_seems_shorter(served, fault):
    folder, traffic, _ = served
    file = only_file(folder)
    traffic.faults += [fault] * 200
    with pytest.raises(RemoteError, match="cannot be re") as caught, file.open() as opened:
        opened.read()
    assert caught.value.is_temporary and "\n" not in str(caught.value)
    assert len(traffic.faults) >= 200 - 6 * QUICK.attempts


@pytest.mark.parametrize("replacement", [b"short", b"x" * SIZE])
def test_a_file_that_was_replaced_after_it_was_listed_is_not_read(served, replacement):
    folder, _, replace = served
    file = only_file(folder)
    replace(replacement)
    with pytest.raises(RemoteError, match="was changed after it was listed"), file.open():
        pass


def test_a_file_that_is_replaced_while_it_is_read_fails_and_leaves_no_copy(served, data):
    folder, _, replace = served
    file = only_file(folder)
    before = set(file.spool.folder.iterdir())
    with pytest.raises(RemoteError, match="was changed after it was listed"), file.open() as opened:
        assert opened.read(BLOCK_BYTES) == data[:BLOCK_BYTES]
        replace(b"y" * SIZE)
        opened.seek(5 * BLOCK_BYTES)
        opened.read(10)
    assert set(file.spool.folder.iterdir()) == before


def test_a_file_that_is_gone_is_named(served):
    folder, _, _ = served
    file = only_file(folder)
    gone = dataclasses.replace(file, url=file.url.replace("big", "small"))
    with pytest.raises(RemoteError, match="does not exist") as caught, gone.open():
        pass
    assert caught.value.is_missing


# -- servers that send whole files only --------------------------------------------------------------------------------


@pytest.fixture
def without_ranges(root):
    with serving(file_answers(root, has_ranges=False)) as (address, traffic):
        yield RemoteFolder(f"{address}/"), traffic


def test_a_server_without_ranges_sends_the_file_once(without_ranges, data):
    folder, traffic = without_ranges
    with only_file(folder).open() as opened:
        for start in (SIZE - 10, 5, 7 * BLOCK_BYTES):
            opened.seek(start)
            assert opened.read(100) == data[start : start + 100]
        opened.seek(0)
        assert opened.read() == data
    assert sum("big" in request for request in traffic.requests) == 2  # that it sends no ranges, and the file


def test_a_whole_file_that_is_cut_off_is_asked_for_again(without_ranges, data):
    folder, traffic = without_ranges
    with only_file(folder).open() as opened:
        opened.seek(SIZE - 10)
        traffic.faults += ["truncated", "short", 500]
        assert opened.read() == data[-10:]


def test_a_whole_file_must_fit_into_the_temporary_folder(without_ranges, tmp_path):
    folder, _ = without_ranges
    listed = only_file(folder)
    (tmp_path / "spool").mkdir()
    small = Spool(tmp_path / "spool", SIZE // 2)
    file = dataclasses.replace(listed, spool=small)
    with pytest.raises(RemoteError, match=f"has {SIZE} bytes.*set TMPDIR"), file.open() as opened:
        opened.seek(SIZE - 10)
        opened.read()


def test_a_single_url_is_a_folder_of_one_file(root):
    with serving(file_answers(root)) as (address, _):
        folder = RemoteFolder(f"{address}/in%20one/big%20%231.bin")
        assert folder.names() == ["big #1.bin"] and folder.describe(folder.names()) == {}
        assert (folder / "big #1.bin").num_bytes == SIZE


def test_memory_files_are_read_too(data):
    fsspec.filesystem("memory").pipe_file("/some/folder/a/b.bin", data)
    folder = RemoteFolder("memory://some/folder")
    assert folder.names() == ["a/b.bin"] and folder.describe(folder.names()) == {}
    with (folder / "a/b.bin").open() as opened:
        assert opened.read() == data


def test_a_key_may_be_the_beginning_of_another(s3):
    bucket = "shadowing"
    client(s3).create_bucket(Bucket=bucket)
    for key in ("f/a.mp4", "f/a.mp4/b.mp4", "f/folder/", "fa.mp4"):
        client(s3).put_object(Bucket=bucket, Key=key, Body=key.encode())
    with directed_to(s3):
        folder = RemoteFolder(f"s3://{bucket}/f/")
        assert folder.names() == ["a.mp4", "a.mp4/b.mp4"]
        for name in folder.names():
            with (folder / name).open() as opened:
                assert opened.read() == f"f/{name}".encode()


# -- the spool ---------------------------------------------------------------------------------------------------------


def test_a_copy_beyond_the_limit_is_begun_anew_and_reading_goes_on(served, data, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "CHECK_BYTES", 4 * BLOCK_BYTES)
    monkeypatch.setattr(ranged_file, "MAX_AHEAD", 2)
    listed = only_file(served[0])
    (tmp_path / "spool").mkdir()
    small = Spool(tmp_path / "spool", 6 * BLOCK_BYTES)
    file = dataclasses.replace(listed, spool=small)
    most = 0
    with file.open() as opened:
        for start in range(0, SIZE, BLOCK_BYTES):
            assert opened.read(BLOCK_BYTES) == data[start : start + BLOCK_BYTES]
            most = max(most, sum(path.stat().st_blocks * 512 for path in small.folder.iterdir()))
    assert most <= 13 * BLOCK_BYTES


def test_many_small_files_stay_within_the_limit_together(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "CHECK_BYTES", 4 * BLOCK_BYTES)
    (tmp_path / "small").mkdir()
    place, memory, most = Spool(tmp_path / "small", 6 * BLOCK_BYTES), fsspec.filesystem("memory"), 0
    for number in range(20):
        memory.pipe_file(f"/many/{number}.bin", bytes([number]) * 2 * BLOCK_BYTES)
    folder = RemoteFolder("memory://many")
    for name in folder.names():
        with dataclasses.replace(folder / name, spool=place).open() as opened:
            assert len(opened.read()) == 2 * BLOCK_BYTES
        most = max(most, sum(path.stat().st_blocks * 512 for path in place.folder.iterdir()))
    assert most <= (6 + 4 + 2) * (BLOCK_BYTES + 4096)


def test_a_file_of_any_length_is_read_in_bounded_memory(tmp_path):
    size, block = 96 << 20, bytes(range(256)) * 256

    def answer(path: str, headers: dict[str, str]):
        known = {"ETag": '"1"', "Content-Length": str(size), "Content-Type": "video/mp4"}
        if "range" not in headers:
            return 200, known, b""
        start, end = (int(number) for number in headers["range"].removeprefix("bytes=").split("-"))
        part = (block * ((end - start) // len(block) + 2))[start % 256 :][: end - start + 1]
        return 206, {"ETag": '"1"', "Content-Range": f"bytes {start}-{end}/{size}"}, part

    with serving(answer) as (address, _):
        folder = RemoteFolder(f"{address}/long.mp4")
        tracemalloc.start()
        with (folder / folder.names()[0]).open() as opened:
            while data := opened.read(len(block)):
                assert data == block
            assert opened.tell() == size
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 64 << 20  # those of the server included


def test_a_copy_that_another_process_removes_while_room_is_made_is_no_error(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")  # is listed, and has no size
    assert Spool(tmp_path, BLOCK_BYTES).make_room("new")


def test_older_copies_make_room_and_can_be_read_on_where_they_are_open(tmp_path):
    (folder := tmp_path / "small").mkdir()
    place = Spool(folder, 5 * BLOCK_BYTES)
    old, new = (spool.SpooledFile(place, name, 3 * BLOCK_BYTES) for name in ("old", "new"))
    old.write(0, b"o" * 3 * BLOCK_BYTES)
    os.utime(folder / "old", (1, 1))
    new.write(0, b"n" * 3 * BLOCK_BYTES)
    assert place.make_room("new") and {path.name for path in folder.iterdir()} == {"new"}
    buffer = bytearray(10)
    assert old.first(False, 0, 3) == 3 and old.read_into(memoryview(buffer), 5) == 10 and buffer == b"o" * 10
    for file in (old, new):
        file.close()


def test_blocks_that_were_not_written_whole_are_missing(tmp_path, monkeypatch):
    file = spool.SpooledFile(Spool(tmp_path, 1 << 30), "f", 3 * BLOCK_BYTES)
    write, written = os.pwrite, []

    def full_disk(handle, data, position):
        if written:
            raise OSError(28, "No space left on device")
        written.append(write(handle, bytes(data)[:100], position))
        return written[0]

    monkeypatch.setattr(spool.os, "pwrite", full_disk)
    with pytest.raises(OSError, match="No space"):
        file.write(0, b"x" * 2 * BLOCK_BYTES)
    assert file.first(True, 0, 3) == 3
    file.close()


def test_folders_of_killed_runs_are_removed_and_those_in_use_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(spool.tempfile, "tempdir", str(tmp_path))
    abandoned = tmp_path / f"{spool.PREFIX}abandoned"
    abandoned.mkdir()
    (abandoned / spool.LOCK).touch()
    spool.spool_of_run.cache_clear()
    try:
        mine = spool.spool_of_run().folder
        assert mine.parent == tmp_path and not abandoned.exists()
        spool._remove_abandoned()
        assert mine.exists()
    finally:
        spool.spool_of_run.cache_clear()


def test_threads_that_ask_for_the_folder_at_once_get_one(tmp_path, monkeypatch):
    made, both_wait = [], threading.Barrier(2)

    def make() -> Path:
        with contextlib.suppress(threading.BrokenBarrierError):
            both_wait.wait(0.2)  # so that the first one is still making it when the second one asks
        made.append(tmp_path / f"{len(made)}")
        made[-1].mkdir()
        return made[-1]

    monkeypatch.setattr(spool, "_remove_abandoned", lambda: None)
    monkeypatch.setattr(spool, "_new_folder", make)
    monkeypatch.setattr(spool.atexit, "register", lambda *_: None)
    spool.spool_of_run.cache_clear()
    try:
        with ThreadPoolExecutor(2) as pool:
            folders = [task.result().folder for task in [pool.submit(spool.spool_of_run) for _ in range(2)]]
        assert folders == made * 2
    finally:
        spool.spool_of_run.cache_clear()
