"""--preload: decoded frames in memory change nothing in a run, and are kept only where there is room for them."""

import errno
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.pipeline.clips import kept_crops
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import Workers, batches, in_order
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.training import preload, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.preload import MEMORY_SHARE, Preload
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.counted_calls import CountedCalls
from tests.support.small_student import build_small_student
from tests.support.tiny_cache import make_tiny_cache

NUM_VIEWS, SIDE = 2, 128
EPOCHS = 8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=NUM_VIEWS)


def settings(cache: Path, output: Path, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": SIDE, "frames_per_clip": 3, "num_workers": 0, "epochs": 2}
    values |= {"student_pretrained": False, "batch_size": 4, "device": "cpu", "jitter": 0.2}
    return TrainConfig(cache, output, **(values | changes))


def both_sets(cache: Path):
    reader = open_reader(cache)
    return datasets(settings(cache, cache), reader, reader.label_set())


def loaded(cache: Path, choice: str, num_workers: int) -> list[dict]:
    """The batches of some epochs of training clips and of the selection clips, one after another."""
    sets, found = both_sets(cache), []
    Preload(choice, sets, num_workers).begin()
    with Workers(sets, num_workers) as workers:
        for epoch in range(EPOCHS):
            sets[0].epoch = epoch
            for data in sets:
                found += batches(data, in_order(len(data), 4), workers)
    return found


@pytest.fixture
def decoded(tmp_path, monkeypatch) -> CountedCalls:
    """The JPEGs and views that are decoded, in all processes."""
    calls = CountedCalls(tmp_path / "decoded")
    counting = calls.counting(canonical_frame.load_view, lambda jpeg, view, *_: f"{hash(jpeg)} {view.tolist()}")
    monkeypatch.setattr(canonical_frame, "load_view", counting)
    return calls


def test_moved_windows_have_the_frames_that_they_would_have_without_it(tiny):
    """Also outside of all annotated clips: there is room for every frame that a window may be moved to."""
    reader = open_reader(tiny)
    labels = reader.label_set()
    sampling = ClipSampling(5, 32, random=True, seed=3, time_shift=0.4)
    plain, kept = (ClipDataset(reader, labels, list(labels.clips)[::3], sampling) for _ in range(2))
    kept.kept = kept.kept_crops()
    kept.kept.allocate(is_shared=False)
    for plain.epoch in range(8):
        kept.epoch = plain.epoch
        for i in range(len(plain)):
            assert torch.equal(plain[i]["frames"], kept[i]["frames"])


def test_frames_without_room_are_an_error_and_never_those_of_another_place(tiny):
    crops = kept_crops.KeptCrops([("a", np.array([2, 4]))], range(1), 8)
    crops.allocate(is_shared=False)
    for position in (1, 3, 5):
        with pytest.raises(ValueError, match="not all among those that there is room for"):
            crops.read("a", np.array([2, position]), 0, lambda _: np.zeros((8, 8, 3), np.uint8))


def test_random_views_that_no_epoch_draws_take_no_room(tiny):
    sets = both_sets(tiny)
    with_all, without = (sum(data.kept_crops(choice).num_bytes for data in sets) for choice in (True, False))
    assert without < with_all


@pytest.mark.parametrize("num_workers", [0, 1])
def test_each_crop_is_decoded_once_if_all_are_kept(tiny, decoded, num_workers):
    usual = loaded(tiny, "off", num_workers)
    assert max(Counter(decoded.taken()).values()) > 1
    kept = loaded(tiny, "on", num_workers)
    assert set(decoded.taken().values()) == {1}
    for one, other in zip(usual, kept, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.integration
def test_a_run_with_frames_in_memory_equals_one_without(tiny, tmp_path, monkeypatch, decoded):
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    weights, counts = [], []
    for choice in ("off", "auto"):
        training.train(settings(tiny, tmp_path / choice, preload=choice, epochs=6))
        weights.append(torch.load(tmp_path / choice / "training_state.pt", weights_only=True)["students"]["tiny"])
        counts.append(decoded.taken().total())
    for name, value in weights[0]["student"].items():
        assert torch.equal(value, weights[1]["student"][name])
    assert counts[1] < 0.7 * counts[0]


def room(cache: Path) -> int:
    return sum(data.kept_crops().num_bytes for data in both_sets(cache))


def test_all_frames_in_all_views_count(tiny):
    train_set, selection_set = both_sets(tiny)
    crop = SIDE * SIDE * 3 + 4
    assert train_set.kept_crops().num_bytes == 5 * len(train_set) * (1 + NUM_VIEWS) * crop  # clips of five frames
    assert selection_set.kept_crops().num_bytes == 3 * len(selection_set) * crop  # the three frames of their items


def test_frames_that_do_not_fit_are_decoded_again_and_one_line_says_so(tiny, monkeypatch, caplog):
    caplog.set_level("INFO")
    for left, fits in ((room(tiny) / MEMORY_SHARE, True), (room(tiny) / MEMORY_SHARE - 2, False), (None, False)):
        monkeypatch.setattr(preload, "available_memory", lambda left=left: left)
        sets = both_sets(tiny)
        caplog.clear()
        Preload("auto", sets, 0).begin()
        assert [data.kept is not None for data in sets] == [fits, fits]
        (line,) = caplog.messages
        assert ("are kept in memory" in line) == fits
    monkeypatch.setattr(preload, "available_memory", lambda: room(tiny) / MEMORY_SHARE)
    Preload("auto", sets := both_sets(tiny), 0, num_processes=2).begin()
    assert sets[0].kept is None


def test_what_is_wanted_and_does_not_fit_is_refused_before_anything_is_written(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    monkeypatch.setattr(preload, "available_memory", lambda: 5 * 10**6)
    with pytest.raises(InputError, match=r"--preload on: .* take \d+\.\d MB, more than 50% of the 5\.0 MB .*--views"):
        training.train(settings(tiny, tmp_path / "out", preload="on"))
    assert not (tmp_path / "out").exists()


def test_systems_that_cannot_share_memory_use_none(tiny, monkeypatch, caplog):
    caplog.set_level("INFO")

    def refuse(*_arguments, **_options):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(kept_crops, "SharedMemory", refuse)
    Preload("auto", sets := both_sets(tiny), 2).begin()
    assert sets[0].kept is None and "cannot be shared with 2 loader processes" in caplog.text
    with pytest.raises(InputError, match="--num-workers 0"):
        Preload("on", sets, 2)
    Preload("on", sets, 0).begin()
    assert sets[0].kept is not None
