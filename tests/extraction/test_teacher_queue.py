"""Rows reach the teacher in full batches across videos and come back in order; memory that runs out changes no row."""

import logging
import time

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.pipeline.engines.engine import TaskDone
from embedonce.pipeline.extraction.decode_tasks import Row
from embedonce.pipeline.extraction.teacher_queue import EmbeddedRow, TeacherQueue
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.batches import BatchedTeacher
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.fake_teacher import SIZE, FakeTeacher
from tests.support.small_memory import SmallGpu, SmallMemory
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


def make_row(i: int, views: int) -> Row:
    crops = np.random.default_rng(i).integers(0, 256, (views, SIZE, SIZE, 3)).astype(np.uint8)
    return Row(i, b"jpeg", crops, np.zeros(views, np.uint32))


def names(items) -> list[str]:
    return [f"{item.task}{item.row.i}" if isinstance(item, EmbeddedRow) else f"end {item.task}" for item in items]


@pytest.mark.parametrize(
    "batch_size, views, sizes",
    [(6, 1, [6, 4]), (4, 3, [4] * 7 + [2]), (2, 5, [2] * 25), (1, 2, [1] * 20), (1000, 2, [20])],
)
def test_batches_are_full_and_rows_come_back_in_order(batch_size, views, sizes):
    teacher = SmallMemory(limit=1000)
    rows, found = [make_row(i, views) for i in range(10)], []
    with TeacherQueue(BatchedTeacher(teacher, batch_size), views, BusyTime()) as queue:
        for first in range(0, 10, 5):
            queue.add("ab"[first // 5], rows[first : first + 5])
            queue.end(TaskDone("ab"[first // 5]))
            found += queue.pop()
        found += queue.pop(is_last=True)
    assert names(found) == [*(f"a{i}" for i in range(5)), "end a", *(f"b{i}" for i in range(5, 10)), "end b"]
    assert teacher.sizes == sizes
    for item in found:
        if isinstance(item, EmbeddedRow):
            np.testing.assert_allclose(item.embeddings, FakeTeacher().embed(item.row.crops), rtol=0, atol=1e-6)


def test_the_end_of_a_video_waits_for_its_rows_only():
    with TeacherQueue(BatchedTeacher(FakeTeacher(), 4), 1, BusyTime()) as queue:
        queue.end(TaskDone("empty"))
        assert names(queue.pop()) == ["end empty"]
        queue.add("a", [make_row(0, 1)])
        queue.end(TaskDone("a"))
        assert names(queue.pop()) == []
        queue.add("b", [make_row(i, 1) for i in (1, 2, 3)])
        assert names(popped_when_ready(queue)) == ["a0", "end a", "b1", "b2", "b3"]


def popped_when_ready(queue: TeacherQueue) -> list:
    """What the queue returns once the teacher has embedded the batches that it has."""
    found = list(queue.pop())
    deadline = time.monotonic() + 60
    while not found and time.monotonic() < deadline:
        found = list(queue.pop())
        time.sleep(0.01)
    return found


# -- whole extractions ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate("ab"):
        write_video(root / f"{name}.mp4", 60 + 30 * number)
    return root


def batch_sizes(reader) -> set[int]:
    return {record.provenance["batch_size"] for record in reader.records.values()}


@pytest.mark.numeric
@pytest.mark.integration
def test_rows_are_the_same_for_every_batch_size_and_when_memory_runs_out(folder, tmp_path, caplog):
    source, usual = make_source(folder, ["a", "b"]), {"views": 2, "shard_frames": 100}
    run(source, tmp_path / "all", batch_size=1000, **usual)
    expected = content(tmp_path / "all")
    for batch_size in (1, 2, 7):
        teacher = SmallMemory(limit=1000)
        _, reader, _ = run(source, tmp_path / str(batch_size), teacher=teacher, batch_size=batch_size, **usual)
        check_same_rows(content(tmp_path / str(batch_size)), expected)
        assert set(teacher.sizes[:-1]) == {batch_size} and batch_sizes(reader) == {batch_size}
    caplog.clear()
    teacher = SmallMemory(limit=5, error=torch.OutOfMemoryError("CUDA out of memory."))
    result, reader, _ = run(source, tmp_path / "less", teacher=teacher, batch_size=16, **usual)
    check_same_rows(content(tmp_path / "less"), expected)
    assert (result.committed, result.quarantined) == (2, {}) and batch_sizes(reader) == {4}
    assert sum("out of memory with 16 images at once" in message for message in caplog.messages) == 1


@pytest.mark.integration
def test_a_batch_size_is_found_and_recorded_if_there_are_frames_to_embed(folder, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source, cache = make_source(folder, ["a"]), tmp_path / "c"
    _, reader, _ = run(source, cache, teacher=SmallGpu(limit=9), batch_size="auto")
    for record in reader.records.values():
        assert record.provenance["batch_size"] == 8 and record.provenance["batch_size_from"] == "found"
    assert [line for line in caplog.messages if "batch size" in line] == ["batch size 8 (found for cuda:7)"]
    run(source, tmp_path / "given", batch_size=3)
    check_same_rows(content(cache), content(tmp_path / "given"))
    assert open_reader(cache).identity == open_reader(tmp_path / "given").identity
    caplog.clear()
    teacher = SmallGpu(limit=9)
    run(source, cache, teacher=teacher, batch_size="auto")
    assert max(teacher.sizes) == 1 and not [line for line in caplog.messages if "batch size" in line]


@pytest.mark.integration
def test_the_stored_rows_are_checked_within_the_batch_size(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "c", views=2)
    teacher = SmallMemory(limit=1)
    result, _, _ = run(make_source(folder, ["a", "b"]), tmp_path / "c", teacher=teacher, views=2, batch_size=1)
    assert result.committed == 2 and set(teacher.sizes) == {1}


@pytest.mark.integration
def test_a_frame_that_cannot_be_embedded_in_a_batch_of_its_own_quarantines_its_video(folder, tmp_path):
    """All of its batch is NaN, and yet the teacher works."""

    class Blind(FakeTeacher):
        def embed(self, crops):
            vectors = super().embed(crops)
            vectors[crops.std((1, 2, 3)) > 0] *= np.nan if self.images_seen == 1 else 1
            return vectors

    result, _, _ = run(make_source(folder, ["a", "b"]), tmp_path / "c", teacher=Blind(), batch_size=1, decode_workers=1)
    assert (result.committed, len(result.quarantined)) == (1, 1)
