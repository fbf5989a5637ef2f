"""A teacher in batches: never more images than asked for, fewer after memory ran out, and the same embeddings."""

import weakref

import numpy as np
import pytest
import torch

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.teachers.batches import BatchedTeacher
from tests.support.fake_teacher import SIZE, FakeTeacher
from tests.support.small_memory import SmallMemory

OUT_OF_MEMORY = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 7.23 GB, max allowed: 9.07 GB)."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4503599627370496 bytes."),
)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (23, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("batch_size, sizes", [(1, [1] * 23), (8, [8, 8, 7]), (23, [23]), (1000, [23])])
def test_the_batch_size_is_a_limit(crops, batch_size, sizes):
    teacher = SmallMemory(limit=1000)
    vectors = BatchedTeacher(teacher, batch_size).embed(crops)
    assert teacher.sizes == sizes and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, FakeTeacher().embed(crops), rtol=0, atol=1e-6)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "cuda", "mps", "cpu"])
def test_a_batch_that_does_not_fit_is_halved_for_good_and_reported_once(crops, error, caplog):
    small = SmallMemory(limit=5, error=error)
    teacher = BatchedTeacher(small, 16)
    np.testing.assert_allclose(teacher.embed(crops), FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert small.sizes == [16, 8, 4, 4, 4, 4, 4, 3] and teacher.batch_size == 4
    teacher.embed(crops)
    assert max(small.sizes[8:]) == 4
    (told,) = caplog.messages
    assert "out of memory with 16 images at once" in told and "at most 4 from here on" in told


def test_memory_that_shrinks_later_is_not_reported_again(crops, caplog):
    small = SmallMemory(limit=8)
    teacher = BatchedTeacher(small, 16)
    teacher.embed(crops)
    small.limit = 2
    np.testing.assert_allclose(teacher.embed(crops), FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert teacher.batch_size == 2 and len(caplog.messages) == 1


def test_a_short_batch_that_does_not_fit_is_halved_too(crops):
    small = SmallMemory(limit=1)
    teacher = BatchedTeacher(small, 64)
    np.testing.assert_allclose(teacher.embed(crops[:3]), FakeTeacher().embed(crops[:3]), rtol=0, atol=1e-6)
    assert small.sizes == [3, 1, 1, 1] and teacher.batch_size == 1


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "cuda", "mps", "cpu"])
def test_one_image_that_does_not_fit_ends_the_run_in_one_sentence(crops, error):
    small = SmallMemory(limit=0, error=error)
    with pytest.raises(PipelineError, match="cannot embed even one image at a time") as told:
        BatchedTeacher(small, 4).embed(crops)
    assert small.sizes == [4, 2, 1] and told.value.exit_code == 5 and "\n" not in str(told.value)


def test_what_the_failed_batch_occupied_is_released_before_the_next_attempt(crops):
    """A traceback that is still being handled would hold the tensors of the batch."""

    class Holding(FakeTeacher):
        last = None

        def embed(self, crops):
            assert self.last is None or self.last() is None, "the images of the failed batch are still held"
            images = crops / 255
            self.last = weakref.ref(images)
            if len(crops) > 2:
                raise MemoryError
            return super().embed(crops)

    assert len(BatchedTeacher(Holding(), 16).embed(crops)) == len(crops)


def test_other_errors_are_not_retried(crops):
    small = SmallMemory(limit=0, error=RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        BatchedTeacher(small, 4).embed(crops)
    assert small.sizes == [4]


def test_no_images_are_no_work():
    small = SmallMemory(limit=0)
    assert BatchedTeacher(small, 4).embed(np.zeros((0, SIZE, SIZE, 3), np.uint8)).shape == (0, small.identity.embed_dim)
    assert small.sizes == []


def test_it_is_the_teacher_it_holds():
    class Told(FakeTeacher):
        def device_facts(self):
            return {"device": "abacus"}

    teacher = BatchedTeacher(Told(), 4)
    assert teacher.identity == Told().identity and teacher.device_facts() == {"device": "abacus"}


class Overlapping(SmallMemory):
    """Begins batches before the ones before are finished; has memory for `limit` images at once, of all begun."""

    def __init__(self, limit: int, fails_late: bool = False):
        super().__init__(limit, error=torch.OutOfMemoryError("CUDA out of memory."))
        self.fails_late, self.held, self.order = fails_late, 0, []

    def begin(self, crops):
        self.order.append("begin")
        self.held += len(crops)
        does_not_fit = self.held > self.limit
        if does_not_fit and not self.fails_late:
            self.held -= len(crops)
            raise self.error

        def finish():
            self.order.append("finish")
            self.held -= len(crops)
            if does_not_fit:
                raise self.error
            return super(Overlapping, self).embed(crops)

        return finish


def embedded_ahead(teacher: BatchedTeacher, crops: np.ndarray, size: int) -> np.ndarray:
    """Each batch is begun before the one before it is finished."""
    found, waiting = [], []
    for first in range(0, len(crops), size):
        waiting.append(teacher.begin(list(crops[first : first + size])))
        if len(waiting) == teacher.ahead:
            found.append(waiting.pop(0)())
    return np.concatenate(found + [finish() for finish in waiting])


@pytest.mark.parametrize("make", [lambda: Overlapping(100), lambda: SmallMemory(100)], ids=["overlapping", "not"])
def test_batches_that_are_begun_ahead_have_the_same_embeddings(crops, make):
    teacher = make()
    vectors = embedded_ahead(BatchedTeacher(teacher, 4), crops, 4)
    np.testing.assert_allclose(vectors, FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert teacher.sizes == [4] * 5 + [3]
    if isinstance(teacher, Overlapping):
        assert teacher.order == ["begin", *["begin", "finish"] * 5, "finish"]


@pytest.mark.parametrize("fails_late", [False, True])
def test_batches_that_fit_only_one_at_a_time_no_longer_overlap(crops, fails_late, caplog):
    small = Overlapping(6, fails_late)
    teacher = BatchedTeacher(small, 4)
    vectors = embedded_ahead(teacher, crops, 4)
    np.testing.assert_allclose(vectors, FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert small.order.count("begin") <= 3 and teacher.batch_size == 4 and not caplog.messages


def test_a_batch_that_does_not_fit_alone_is_halved_when_it_was_begun_ahead(crops, caplog):
    teacher = BatchedTeacher(Overlapping(5), 8)
    vectors = embedded_ahead(teacher, crops, 8)
    np.testing.assert_allclose(vectors, FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert teacher.batch_size == 4 and len(caplog.messages) == 1


def test_an_error_that_is_not_about_memory_is_raised_from_a_begun_batch(crops):
    class Broken(Overlapping):
        def begin(self, crops):
            raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert triggered"):
        BatchedTeacher(Broken(100), 8).begin(list(crops[:8]))


def test_more_images_than_fit_at_once_are_embedded_in_parts_that_overlap(crops):
    """As those of a process whose device has less memory than others."""
    small = Overlapping(16)
    teacher = BatchedTeacher(small, 8)
    first, second = teacher.begin(list(crops)), teacher.begin(list(crops[:5]))
    np.testing.assert_allclose(first(), FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    np.testing.assert_allclose(second(), FakeTeacher().embed(crops[:5]), rtol=0, atol=1e-6)
    assert small.sizes == [8, 8, 7, 5] and small.order[:3] == ["begin", "begin", "finish"]


def test_parts_that_do_not_fit_are_halved(crops, caplog):
    teacher = BatchedTeacher(Overlapping(3), 8)
    np.testing.assert_allclose(teacher.begin(list(crops))(), FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert teacher.batch_size == 2 and len(caplog.messages) == 1


class Reusing(FakeTeacher):
    """Returns its results in the same memory each time."""

    memory = np.zeros((64, 16), np.float32)

    def embed(self, crops):
        self.memory[: len(crops)] = super().embed(crops)
        return self.memory[: len(crops)]


class ReusingBegun(Reusing):
    def begin(self, crops):
        return lambda: self.embed(crops)


@pytest.mark.parametrize("make", [Reusing, ReusingBegun])
def test_a_teacher_may_use_the_memory_of_its_results_again(crops, make):
    expected = FakeTeacher().embed(crops)
    in_parts = BatchedTeacher(make(), 4)
    np.testing.assert_array_equal(in_parts.embed(crops), expected)
    np.testing.assert_array_equal(in_parts.begin(list(crops))(), expected)
    teacher = BatchedTeacher(make(), 64)
    begun = [teacher.begin(list(crops[:8])), teacher.begin(list(crops[8:]))]
    np.testing.assert_array_equal(np.concatenate([finish() for finish in begun]), expected)
