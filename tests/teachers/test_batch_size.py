"""The batch size of a GPU is found by trying: the fastest that fits, whatever happens when memory runs out."""

import numpy as np
import pytest
import torch

from embedonce.models.teachers.device_memory import with_room_left
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.teachers.batch_size import (
    CPU_IMAGES,
    FIRST_IMAGES,
    find_batch_size,
    first_images,
    found_images,
    max_images,
    origin,
    timed_batches,
)
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.open_clip import OpenClipLoader
from embedonce.pipeline.teachers.teacher import TeacherOptions
from tests.support.fake_clock import FakeClock
from tests.support.fake_teacher import SIZE, FakeTeacher
from tests.support.small_memory import SmallGpu, SmallMemory
from tests.teachers.test_batches import OUT_OF_MEMORY


class Device:
    """Takes start_sec for any batch and image_sec for each image; memory runs out with more than `limit` images."""

    def __init__(self, start_sec=0.0, image_sec=1.0, limit=10**9, error=None):
        self.start_sec, self.image_sec, self.limit, self.error = start_sec, image_sec, limit, error or MemoryError()
        self.tried = []

    def __call__(self, size: int) -> float:
        self.tried.append(size)
        if size > self.limit:
            raise self.error
        return self.start_sec + self.image_sec * size


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "cuda", "mps", "cpu"])
def test_the_largest_batch_that_fits_is_found_where_larger_ones_are_faster(error):
    device = Device(start_sec=1e6, limit=300, error=error)
    assert find_batch_size(device, most=4096) == 256 and device.tried == [16, 32, 64, 128, 256, 512]


def test_the_search_ends_where_larger_batches_are_hardly_faster():
    device = Device(start_sec=10.0)
    assert find_batch_size(device, most=4096) == 256  # 266 s for 256 images, 522 s for 512: 2 percent
    assert device.tried == [16, 32, 64, 128, 256, 512, 1024]


def test_one_slow_measurement_does_not_end_the_search():
    class Interrupted(Device):
        def __call__(self, size):
            return super().__call__(size) * (3 if size == 32 else 1)

    assert find_batch_size(Interrupted(start_sec=1000.0, limit=128), most=4096) == 128


def test_larger_batches_that_are_slower_are_not_chosen():
    class Swapping(Device):
        def __call__(self, size):
            return super().__call__(size) * (10 if size > 64 else 1)

    device = Swapping(start_sec=1000.0)
    assert find_batch_size(device, most=4096) == 64 and max(device.tried) == 256


@pytest.mark.parametrize("most, size, tried", [(100, 64, [16, 32, 64]), (16, 16, [16]), (5, 5, [5]), (1, 1, [1])])
def test_no_batch_is_larger_than_allowed(most, size, tried):
    device = Device(start_sec=1e6)
    assert find_batch_size(device, most) == size and device.tried == tried


@pytest.mark.parametrize("limit, size, tried", [(15, 8, [16, 8]), (3, 2, [16, 8, 4, 2]), (1, 1, [16, 8, 4, 2, 1])])
def test_a_first_batch_that_does_not_fit_is_halved(limit, size, tried):
    device = Device(limit=limit)
    assert find_batch_size(device, most=4096) == size and device.tried == tried


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "cuda", "mps", "cpu"])
def test_one_image_that_does_not_fit_ends_the_run_in_one_sentence(error):
    device = Device(limit=0, error=error)
    with pytest.raises(PipelineError, match="cannot embed even one image at a time") as told:
        find_batch_size(device, most=4096)
    assert device.tried == [16, 8, 4, 2, 1] and told.value.exit_code == 5 and "\n" not in str(told.value)


def test_other_errors_end_the_search():
    with pytest.raises(RuntimeError, match="device-side assert"):
        find_batch_size(Device(limit=32, error=RuntimeError("CUDA error: device-side assert triggered")), most=4096)


def test_only_devices_that_compute_by_themselves_are_searched():
    assert {origin(None, device) for device in ("cuda", "cuda:3", "mps")} == {"found"}
    assert {origin(None, device) for device in ("cpu", "", "cuda:0 (a GPU)", "tpu")} == {"default"}
    assert origin(7, "cuda") == "given" and first_images(7, "cuda") == 7
    assert (first_images(None, "cuda:1"), first_images(None, "cpu")) == (FIRST_IMAGES, CPU_IMAGES)
    assert [max_images(3 * side**2) for side in (224, 448, 10**5)] == [891, 222, 1]


class Begun:
    """A batch that a device has until it is finished or forgotten."""

    def __init__(self, device, crops):
        self.device, self.crops = device, crops
        device.held += len(crops)

    def __call__(self):
        self.device.log.append(("finish", len(self.crops)))
        return self.device.embed(self.crops)

    def __del__(self):
        self.device.held -= len(self.crops)


class Ahead(FakeTeacher):
    """Has memory for `limit` images, of all batches that it has; takes a second for an image."""

    def __init__(self, limit=1000):
        super().__init__()
        self.limit, self.held, self.log, self.clock = limit, 0, [], FakeClock()

    def begin(self, crops):
        assert len({crop.tobytes() for crop in crops}) == min(len(crops), 16), "the same image again too soon"
        batch = Begun(self, crops)
        if self.held > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.log.append(("begin", len(crops)))
        return batch

    def embed(self, crops):
        self.clock.advance(len(crops) if len(self.log) > 2 else 100)
        return super().embed(crops)


def test_batches_are_timed_as_an_extraction_embeds_them():
    """The next one is begun before the one before is finished; the first one is not counted."""
    teacher = Ahead()
    assert timed_batches(teacher, teacher.clock)(20) == 20
    assert [what for what, _ in teacher.log] == ["begin", "finish", "begin", *["begin", "finish"] * 3, "finish"]
    assert {count for _, count in teacher.log} == {20}
    alone = SmallMemory(limit=1000)
    assert timed_batches(alone, FakeClock())(3) == 0 and alone.sizes == [3] * 5


def test_two_batches_at_once_must_fit_and_those_that_do_not_are_forgotten():
    assert found_images(Ahead(limit=31), "cpu", most=16) == 8
    assert found_images(SmallMemory(limit=31), "cpu", most=16) == 16  # one that has only one at a time


def test_the_real_teacher_is_searched_as_if_this_cpu_were_a_gpu():
    teacher = OpenClipLoader().load(TeacherOptions("demo-clip", device="cpu"))
    size = found_images(teacher, "cpu", most=4)
    assert size in (2, 4)
    crops = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), np.uint8)
    expected = BatchedTeacher(teacher, 1).embed(crops)
    np.testing.assert_allclose(BatchedTeacher(teacher, size).embed(crops), expected, rtol=0, atol=1e-5)


# -- choosing --------------------------------------------------------------------------------------------------------


def test_a_batch_size_is_found_once_and_logged_once(caplog):
    caplog.set_level("INFO")
    teacher = BatchedTeacher(SmallGpu(limit=100), most=64)
    assert teacher.batch_facts() == {"batch_size": FIRST_IMAGES, "batch_size_from": "found"}
    teacher.choose_batch_size()
    found = teacher.batch_size
    assert FIRST_IMAGES <= found <= 64 and caplog.messages == [f"batch size {found} (found for cuda:7)"]
    teacher.choose_batch_size()
    assert teacher.batch_facts() == {"batch_size": found, "batch_size_from": "found"} and len(caplog.messages) == 1


@pytest.mark.parametrize(
    "teacher, given, facts",
    [
        (SmallGpu(100), 48, {"batch_size": 48, "batch_size_from": "given"}),
        (SmallMemory(100), None, {"batch_size": 64, "batch_size_from": "default"}),
    ],
    ids=["given", "CPU"],
)
def test_nothing_is_tried_for_a_given_size_or_on_a_cpu(teacher, given, facts):
    made = BatchedTeacher(teacher, given)
    made.choose_batch_size()
    assert made.batch_facts() == facts and teacher.sizes == []


def test_memory_that_shrinks_after_the_search_halves_the_batches(caplog):
    small = SmallGpu(limit=100)
    teacher = BatchedTeacher(small, most=16)
    teacher.choose_batch_size()
    small.limit = 5
    crops = np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3), np.uint8)
    np.testing.assert_allclose(teacher.embed(crops), FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert teacher.batch_facts() == {"batch_size": 4, "batch_size_from": "found"}
    assert "out of memory with 16 images at once" in caplog.messages[-1]


# -- memory of a GPU -------------------------------------------------------------------------------------------------


class Cuda:
    """Stands in for torch.cuda: a GPU with 100 bytes, of which 50 are free and 10 are torch's own."""

    def __init__(self):
        self.fractions, self.is_emptied = [], False

    def patch(self, monkeypatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50, 100))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 10)
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 0.9)
        monkeypatch.setattr(
            torch.cuda, "set_per_process_memory_fraction", lambda share, device: self.fractions.append((share, device))
        )
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: setattr(self, "is_emptied", True))


def test_trying_leaves_a_fifth_of_the_free_memory_and_frees_it_all(monkeypatch):
    cuda, device = Cuda(), torch.device("cuda:1")
    cuda.patch(monkeypatch)
    with pytest.raises(MemoryError), with_room_left("cuda:1") as check:
        check()
        assert cuda.fractions == [(0.5, device)] and not cuda.is_emptied
        raise MemoryError
    assert cuda.fractions[1:] == [(0.9, device)] and cuda.is_emptied


@pytest.mark.parametrize("taken, fits", [(79, True), (81, False)])
def test_on_mps_what_was_taken_is_checked_afterwards(monkeypatch, taken, fits):
    emptied = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: taken)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 100)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append(True))
    with with_room_left("mps") as check:
        if fits:
            check()
        else:
            with pytest.raises(MemoryError):
                check()
    assert emptied == [True]
