"""Several teacher processes embed as one does, whatever happens to some of them."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.errors import IdentityMismatchError
from embedonce.models.errors import WeightsError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.group import TextTeacherGroup, start_group
from embedonce.pipeline.teachers.lanes import Lanes
from embedonce.pipeline.teachers.teacher import LongTexts, TeacherOptions, TextTeacher
from embedonce.pipeline.teachers.teacher_process import Patience
from tests.support import fake_teacher_module
from tests.support.conformance.engine import wait_until
from tests.support.fake_teacher import SIZE, FakeTeacher

MODULE = Path(fake_teacher_module.__file__)
BATCH = 4


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "f"


@pytest.fixture
def started(folder, monkeypatch):
    """A function that starts a group of processes; its files say what happens to them. All are ended afterwards."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    folder.mkdir()
    groups = []

    def start(*files: str, processes: int = 2, batch_size: int | None = BATCH, **how) -> TextTeacherGroup:
        for name in files:
            (folder / name).touch()
        options = TeacherOptions(f"told:{folder}")
        groups.append(start_group(MODULE, options, ("cpu",) * processes, batch_size, **how))
        return groups[-1]

    yield start
    for group in groups:
        group.close()
    wait_until(lambda: not [number for number in numbers(folder, "loaded") if os.path.exists(f"/proc/{number}")])


def numbers(folder: Path, what: str) -> set[str]:
    """The process ids in the names of files."""
    return {path.name.partition("-")[2] for path in folder.glob(f"{what}-*")}


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE, 3)).astype(np.uint8))


def embedded(group, given: list[np.ndarray], size: int = BATCH) -> np.ndarray:
    """All embeddings, in the order in which they are returned."""
    found = []
    with Lanes(group.members, BusyTime()) as lanes:
        for first in range(0, len(given), size):
            lanes.submit(given[first : first + size])
            found += lanes.pop()
        found += lanes.pop(is_last=True)
    return np.concatenate(found)


def check_same(group, given: list[np.ndarray], size: int = BATCH) -> None:
    np.testing.assert_allclose(embedded(group, given, size), FakeTeacher().embed(np.stack(given)), rtol=0, atol=1e-6)


def test_batches_come_back_in_order_and_every_process_embeds_some(started, folder):
    group = started()
    check_same(group, images(202))
    assert len(numbers(folder, "embedded")) == 2 and group.batch_size == BATCH and 0 < group.cpu_sec < 60
    facts = group.device_facts()
    assert facts["device"] == "cpu" and set(facts["pid"].split(", ")) == numbers(folder, "loaded")
    assert facts["threads"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    given = images(10)
    np.testing.assert_allclose(group.embed(np.stack(given)), FakeTeacher().embed(np.stack(given)), rtol=0, atol=1e-6)
    assert group.embed(np.zeros((0, SIZE, SIZE, 3), np.uint8)).shape == (0, 16)


def test_texts_are_embedded_once_and_every_process_drops_its_text_tower(started, folder):
    group = started()
    prompts = [["a dog", "two dogs"], ["a cat"]]
    vectors, scale, _ = group.class_text(prompts)
    np.testing.assert_array_equal(vectors, FakeTeacher().class_text(prompts)[0])
    assert scale == 100.0 and isinstance(group, TextTeacher)
    assert group.long_texts(prompts) == LongTexts(1, 5, ((0, "two dogs", 8),))
    group.drop_text_tower()
    assert numbers(folder, "dropped") == numbers(folder, "loaded")
    check_same(group, images(20))


@pytest.mark.parametrize("what, reason", [("kill-1", "signal SIGKILL"), ("fail-1", "RuntimeError: CUDA error")])
def test_a_process_that_dies_is_started_again_and_its_batch_embedded_once_more(started, folder, caplog, what, reason):
    group = started()
    group.drop_text_tower()
    (folder / what).touch()
    check_same(group, images(202))
    (line,) = caplog.messages
    assert line.startswith("teacher process ") and f"ended ({reason}" in line and "\n" not in line
    assert len(numbers(folder, "loaded")) == 3 and numbers(folder, "dropped") == numbers(folder, "loaded")


def test_a_process_that_hangs_is_killed_and_started_again(started, folder, caplog):
    limits = iter([0.5])

    class Impatient(Patience):
        def for_batch(self, num_images):
            return 600.0 if num_images == BATCH else next(limits, 600.0)

    group = started(processes=1, patience=Impatient())
    check_same(group, images(8))
    (folder / "hang-1").touch()
    check_same(group, images(3))
    assert caplog.messages == [
        "teacher process 1 (cpu) ended (no answer for 0.5 s): it is started again, and its batch is embedded once more"
    ]
    assert len(numbers(folder, "loaded")) == 2


def test_a_process_may_take_many_times_longer_than_before_and_its_first_batch_longer_still():
    patience = Patience()
    assert [patience.for_batch(count) for count in (1, 30, 512)] == [1800, 1800, 60 * 512]
    for longest, limit in ((1.0, 300), (15.0, 300), (40.0, 800)):
        patience.longest_sec = longest
        assert patience.for_batch(512) == limit


def test_a_batch_that_ends_every_process_ends_the_run(started, folder):
    group = started("kill-bright")
    given = images(100)
    given[50][:] = 255
    with pytest.raises(PipelineError, match="a batch of images ended 2 teacher processes, the last one with: signal"):
        embedded(group, given)


@pytest.mark.parametrize("what", ["kill-always", "fail-always"])
def test_without_any_process_left_the_run_ends(started, what):
    with pytest.raises(PipelineError, match="ended 2 t"):
        embedded(started(what), images(100))


def test_different_teachers_are_refused(started, folder):
    with pytest.raises(IdentityMismatchError, match=r"process 1 \(cpu\) and .* process 2 \(cpu\) .*weights_sha256"):
        started("differs-1")
    assert not numbers(folder, "embedded")


def test_what_loading_raises_is_raised_here(started):
    with pytest.raises(WeightsError, match="are damaged"):
        started("refuses")


def test_a_process_that_ends_while_it_loads_is_reported(started):
    with pytest.raises(PipelineError, match=r"teacher process 1 \(cpu\) ended before .* signal SIGKILL"):
        started("dies")


def test_too_many_images_are_halved_in_the_process(started, caplog):
    group = started("limit-1")
    with caplog.at_level(logging.WARNING):
        check_same(group, images(40))
    assert min(member.batch_size for member in group.members) == 1
    assert len(caplog.messages) == 1 and "out of memory with 4 images" in caplog.messages[0]


def test_every_device_finds_its_own_batch_size_and_keeps_it_when_it_starts_again(started, folder, caplog):
    caplog.set_level(logging.INFO)
    group = started("gpu-20", "gpu-9", batch_size=None)
    group.choose_batch_size()
    facts = group.batch_facts()
    assert sorted(facts["batch_size"]) == [8, 16] == sorted(member.batch_size for member in group.members)
    assert facts["batch_size_from"] == "found" and group.batch_size == 16
    assert sorted(caplog.messages) == ["batch size 16 (found for cuda:20)", "batch size 8 (found for cuda:9)"]
    (folder / "kill-1").touch()
    check_same(group, images(200), size=16)
    assert group.batch_facts() == facts and len(caplog.messages) == 3 and "SIGKILL" in caplog.messages[2]


def test_too_little_memory_for_one_image_ends_the_run(started):
    with pytest.raises(PipelineError, match="cannot embed even one image"):
        embedded(started("limit-0"), images(8))


def test_a_run_that_ends_early_does_not_wait_for_its_batches(started, folder):
    group = started("slow")
    with pytest.raises(KeyboardInterrupt), Lanes(group.members, BusyTime()) as lanes:
        lanes.submit(images(BATCH))
        wait_until(lambda: numbers(folder, "embedded"))
        raise KeyboardInterrupt
