"""A video that cannot be read now is not reported as damaged, and the next run tries the same file again."""

import errno
import os

import numpy as np
import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.verify import verify
from embedonce.pipeline.engines.engine import TaskFailed
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.engines.registry import ENGINES
from embedonce.pipeline.extraction.decode_tasks import CHANGED, DecodeTask, decode_video
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.sources import content_identity
from embedonce.pipeline.video.container import TemporaryError, VideoError
from tests.extraction.test_runner import make_source, run
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


def scan(path) -> Scan:
    *_, found = scan_video(ScanTask("a", path, Grid(2.0), "software"))
    return found


@pytest.fixture
def failing_reads(monkeypatch):
    """error number -> from now on, reading whole files fails with it."""

    def fail(number):
        def opened(path):
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(content_identity, "opened", opened)

    return fail


def test_a_file_that_cannot_be_read_is_not_reported_as_damaged(tmp_path):
    """/proc/self/mem can be opened, and reading its beginning is always an input/output error."""
    (tmp_path / "a.mp4").symlink_to("/proc/self/mem")
    with pytest.raises(TemporaryError, match=r"its file cannot be read now \(Input/output error\); fix that and run"):
        scan(tmp_path / "a.mp4")


def test_a_readable_damaged_video_is_reported_as_damaged(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"hello" * 1000)
    with pytest.raises(VideoError, match="it is a text file") as caught:
        scan(tmp_path / "a.mp4")
    assert not caught.value.is_temporary


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.integration
def test_a_truncated_video_is_a_temporary_failure_if_reads_fail(tmp_path, failing_reads, number):
    whole = write_video(tmp_path / "whole.mp4", 60, mux={"movflags": "faststart"}).read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    found = scan(tmp_path / "a.mp4")
    assert found.timeline.is_partial
    failing_reads(number)
    with pytest.raises(TemporaryError, match="cannot be read now"):
        scan(tmp_path / "a.mp4")


def test_missing_frames_are_a_temporary_failure_if_reads_fail(tmp_path, failing_reads):
    path = write_video(tmp_path / "a.mp4", 60)
    views = np.array([[0, 0, 64, 160, 0, 3]], np.int32)
    shape = planned_shape(scan(path).timeline, 64)
    frames = (np.array([0, 99]), np.array([0, 99 * 512]), False, shape, 90, views, 32)
    task = DecodeTask("a", path, "software", *frames, duration_sec=2.0)
    rows = [row for message in decode_video(task) if isinstance(message, list) for row in message]
    assert [row.i for row in rows] == [0]
    failing_reads(errno.EIO)
    with pytest.raises(TemporaryError):
        list(decode_video(task))


class UnreadableForScans(WorkerPool):
    """A pool that cannot read b.mp4 when it scans videos."""

    stage = "scan_video"

    def run(self, tasks):
        tasks = list(tasks)
        unreadable = [task for task in tasks if task.path.name == "b.mp4" and self._function.__name__ == self.stage]
        yield from super().run([task for task in tasks if task not in unreadable])
        for task in unreadable:
            yield TaskFailed(task, "its file cannot be read now", is_temporary=True)


class UnreadableForDecoding(UnreadableForScans):
    """A pool that cannot read b.mp4 when it decodes videos."""

    stage = "work_on_video"


@pytest.fixture
def folder(tmp_path):
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", 60)
    return tmp_path


@pytest.mark.integration
def test_the_next_run_tries_the_same_file_again(folder, tmp_path, monkeypatch):
    source = make_source(folder, ["a", "b"])
    with monkeypatch.context() as patch:
        patch.setitem(ENGINES, "local", UnreadableForScans)
        result, reader, _ = run(source, tmp_path / "c")
    assert result.quarantined == {"b.mp4": "its file cannot be read now"} and reader.video_uids == ("a",)
    result, reader, _ = run(source, tmp_path / "c")
    assert result.quarantined == {} and reader.video_uids == ("a", "b")


@pytest.mark.integration
def test_a_planned_video_that_could_not_be_read_is_planned_again(folder, tmp_path, monkeypatch):
    """Shared units are finished without it; the next run extracts it completely."""
    source = make_source(folder, ["a", "b"])
    with monkeypatch.context() as patch:
        patch.setitem(ENGINES, "local", UnreadableForDecoding)
        result, reader, _ = run(source, tmp_path / "c")
    assert result.quarantined == {"b.mp4": "its file cannot be read now"} and reader.video_uids == ("a",)
    result, reader, _ = run(source, tmp_path / "c")
    assert result.quarantined == {} and len(reader.video_uids) == 2
    assert verify(tmp_path / "c").problems == []


def test_if_no_file_can_be_read_it_is_a_storage_error(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(ENGINES, "local", UnreadableForScans)
        with pytest.raises(StorageError, match="its file cannot be read now"):
            run(make_source(folder, ["b"]), tmp_path / "c")
    assert not (tmp_path / "c" / "cache.json").exists()


def test_a_changed_file_is_a_temporary_failure():
    assert TemporaryError(CHANGED).is_temporary
