"""What a training run does besides its recipe: which epoch it keeps, what it does on resume, and what it logs."""

import contextlib
import itertools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.losses.batch import Counts
from embedonce.models.losses.registry import loss_settings
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.clips import inference
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.clips.sampling import ClipSampling, choose_jitter, choose_view
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.processes import timing
from embedonce.pipeline.training import epoch_loop, expected_time, student_run, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.epoch_loop import epoch_line
from embedonce.pipeline.training.recipe import FIELDS_THAT_MAY_DIFFER, datasets, lr_factor
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun
from tests.support import small_students
from tests.support.small_students import best_of, build_small, settings
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def without_selection(tmp_path_factory):
    """One video to train on, of which nothing can be spared, and one to validate on."""
    return make_tiny_cache(tmp_path_factory.mktemp("runs") / "cache", 2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


def test_without_selection_clips_the_epoch_with_the_lowest_loss_is_kept(without_selection, tmp_path, monkeypatch):
    totals, real = iter([0.9, 0.4, 0.6]), StudentRun.close_epoch
    monkeypatch.setattr(
        StudentRun, "close_epoch", lambda run, *arguments: real(run, *arguments) | {"total": next(totals)}
    )
    training.train(settings(without_selection, tmp_path, epochs=3))
    assert best_of(tmp_path)["epoch"] == 2


def test_pretrained_weights_are_not_downloaded_on_resume(without_selection, tmp_path, monkeypatch):
    requested = []
    small_students.use(
        monkeypatch, lambda config, pretrained: requested.append(pretrained) or build_small(config, False)
    )
    config = settings(without_selection, tmp_path, student_pretrained=True, epochs=1)
    training.train(config)
    training.train(config)
    assert requested == [True, False]


def test_the_time_spent_waiting_for_data_is_logged(without_selection, tmp_path, monkeypatch):
    real, waits = epoch_loop.batches, []

    def slow(*arguments):
        for batch in real(*arguments):
            waits.append(0.05)
            time.sleep(waits[-1])
            yield batch

    monkeypatch.setattr(epoch_loop, "batches", slow)
    training.train(settings(without_selection, tmp_path, epochs=1, batch_size=1))
    (entry,) = json.loads((tmp_path / "train_log.json").read_text())
    assert len(waits) == 3 and sum(waits) <= entry["seconds_waiting_for_data"] <= entry["seconds"]


def batch_of_two() -> ClipBatch:
    return ClipBatch(
        frames=torch.zeros(2, 3, 3, 128, 128, dtype=torch.uint8),
        embeddings=torch.ones(2, 3, 16),
        logits=torch.zeros(2, 3, 3),
        labels=torch.tensor([0, 2]),
        mask=torch.ones(2, 3, dtype=torch.bool),
        t_rel_sec=torch.zeros(2, 3),
        indexes=torch.tensor([0, 1]),
    )


def test_a_measured_gradient_is_weighted_by_the_batches_it_represents(tmp_path, monkeypatch):
    norms = {"feature": torch.tensor(1.0), "response": torch.tensor(2.0), "task": torch.tensor(5.0)}
    monkeypatch.setattr(student_run, "gradient_norms", lambda *arguments: norms)
    run = StudentRun(build_small(student_config("tiny", 16, 3, 128), False), settings(tmp_path, tmp_path),
                     loss_settings(), World(), 9)  # fmt: skip
    for measured in (0, 3, 1):
        run.step(batch_of_two(), measured=measured)
    assert {name: run.sums[f"norm_{name}"] for name in norms} == {"feature": 4.0, "response": 8.0, "task": 20.0}


def test_gradients_are_unscaled_before_they_are_clipped(tmp_path, monkeypatch):
    calls = []

    class Scaler:
        def scale(self, loss):
            return loss

        def step(self, optimizer):
            calls.append("step")
            optimizer.step()

        def __getattr__(self, name):
            return lambda *arguments: calls.append(name)

    run = StudentRun(build_small(student_config("tiny", 16, 3, 128), False), settings(tmp_path, tmp_path),
                     loss_settings(), World(), 2)  # fmt: skip
    run.scaler = Scaler()
    monkeypatch.setattr(World, "sync_gradients", lambda world, student: calls.append("combine"))
    monkeypatch.setattr(student_run.nn.utils, "clip_grad_norm_", lambda *arguments: calls.append("clip"))
    run.step(batch_of_two())
    assert calls == ["combine", "unscale_", "clip", "step", "update"]


def test_each_term_is_a_mean_over_its_own_clips_and_the_total_their_weighted_sum(tmp_path):
    """Of an epoch of 8 clips, 3 of them labeled."""
    weights = loss_settings(alpha=2.0, beta=3.0, gamma=5.0)
    run = StudentRun(build_small(student_config("tiny", 16, 3, 128), False), settings(tmp_path, tmp_path, lr=0.125),
                     weights, World(), 100)  # fmt: skip
    sums = {"feature": 16.0, "response": 4.0, "task": 6.0, "norm_feature": 1.0, "norm_response": 3.0, "norm_task": 4.0}
    sums |= {"text": 0.0, "norm_text": 0.0}
    run.sums["feature"] = 7.0
    entry = run.close_epoch(4, sums, Counts(frames=40, clips=8, labeled=3))
    assert (entry["epoch"], entry["feature"], entry["response"], entry["task"]) == (4, 2.0, 0.5, 2.0)
    assert entry["total"] == 2 * 2.0 + 3 * 0.5 + 5 * 2.0
    shares = [entry[f"gradient_share_{name}"] for name in ("feature", "response", "task")]
    assert shares == [0.125, 0.375, 0.5] and set(run.sums.values()) == {0.0}
    assert 0 < entry["lr"] < 0.125  # in warm-up


def test_an_equal_score_is_not_an_improvement(tmp_path):
    run = StudentRun(build_small(student_config("tiny", 16, 3, 128), False), settings(tmp_path, tmp_path),
                     loss_settings(), World(), 2)  # fmt: skip
    found = [run.take_score({}, score) for score in ((0.5, 0.1), (0.5, 0.1), (0.5, 0.2), (0.4, 0.9))]
    assert found == [True, False, True, False] and run.best == (0.5, 0.2) and run.epochs_since_best == 1
    assert len(run.history) == 4
    state = run.state_dict()
    assert (state["epochs_since_best"], state["best"], len(state["history"])) == (1, [0.5, 0.2], 4)


def test_randomness_of_a_batch_depends_on_seed_epoch_and_position(without_selection, tmp_path, monkeypatch):
    places, real = [], epoch_loop.random_seed
    monkeypatch.setattr(epoch_loop, "random_seed", lambda *place: places.append(place) or real(*place))
    training.train(settings(without_selection, tmp_path, epochs=2, batch_size=2, seed=7))
    assert places == [(7, 0, 0, 0), (7, 0, 1, 0), (7, 1, 0, 0), (7, 1, 1, 0)]
    assert len({real(*place) for place in (*places, (8, 0, 0, 0), (7, 0, 0, 1))}) == 6


def test_defaults_are_those_of_the_chosen_device(without_selection, tmp_path, monkeypatch):
    requested = []

    def for_device(config, kind):
        requested.append(kind)
        raise InterruptedError

    monkeypatch.setattr(training, "choose_device", lambda name: torch.device({"auto": "mps"}.get(name, name)))
    monkeypatch.setattr(TrainConfig, "for_device", for_device)
    for device in ("auto", "cpu"):
        with pytest.raises(InterruptedError):
            training.train(settings(without_selection, tmp_path, device=device))
    assert requested == ["mps", "cpu"]


@pytest.mark.integration
def test_patience_waits_for_the_last_student_to_improve(tmp_path, monkeypatch):
    """The first is best in epoch 1, the second in epoch 3: with patience 2, epoch 5 is the last."""
    root = make_tiny_cache(tmp_path / "cache", 6)
    scores = iter([(0.9, 0.0), (0.5, 0.0), (0.1, 0.0), (0.4, 0.0), (0.1, 0.0), (0.6, 0.0), *[(0.1, 0.0)] * 10])
    monkeypatch.setattr(epoch_loop, "selection_score", lambda found, weights: next(scores))
    training.train(settings(root, tmp_path / "out", student_size="tiny,xxs", patience=2, epochs=7))
    for size, best in (("tiny", 1), ("xxs", 3)):
        assert best_of(tmp_path / "out" / size)["epoch"] == best
        assert len(json.loads((tmp_path / "out" / size / "train_log.json").read_text())) == 5


def test_only_paths_and_speed_settings_may_differ_on_resume():
    expected = {"cache_dir", "output_dir", "num_workers", "device", "overwrite", "compile", "preload"}
    expected |= {"checkpoint_steps", "tensorboard", "report_to", "local_cache_dir", "local_cache_gb"}
    assert set(FIELDS_THAT_MAY_DIFFER) == expected


@pytest.mark.integration
def test_the_expected_time_of_a_resumed_run_covers_what_remains(without_selection, tmp_path, monkeypatch):
    """Three batches an epoch, stopped after the first of nine; then after the first epoch."""
    logged, real, saves = [], training_state.save_state, itertools.count(1)

    def save(*arguments):
        real(*arguments)
        if next(saves) in (1, 4):
            raise InterruptedError

    monkeypatch.setattr(training_run, "forecast", lambda seconds, epochs: logged.append(epochs) or "")
    monkeypatch.setattr(training_state, "save_state", save)
    config = settings(without_selection, tmp_path, epochs=3, batch_size=1, checkpoint_steps=1)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            training.train(config)
    training.train(config)
    assert logged == pytest.approx([3, 3 - 1 / 3, 2 - 1 / 3])


def test_seconds_per_clip_are_measured_on_the_second_batch(tmp_path, monkeypatch):
    """On a CPU two clips are loaded, and all students train on them one after another."""
    clock, loaded = [100.0], []
    items = ("frames", "embeddings", "mask", "t_rel_sec", "label", "index")

    def batches(data, planned, num_workers):
        loaded.append((planned, num_workers))
        for seconds in (50.0, 6.0):
            clock[0] += seconds
            yield {name: torch.zeros(2) for name in items}

    monkeypatch.setattr(expected_time.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(expected_time, "batches", batches)
    monkeypatch.setattr(expected_time, "_step_seconds", lambda student, *rest: student)
    config = settings(tmp_path, tmp_path, num_workers=4)
    found = expected_time.seconds_per_clip([7.0, 3.0], loss_settings(), range(9), config, torch.device("cpu"))
    assert found == (3.0, 5.0) and loaded == [([[0, 8], [0, 8]], 1)]


def test_a_loader_draws_nothing_from_the_global_generator():
    """So that what is random in training does not depend on how many loaders there were before."""
    before = torch.get_rng_state()
    assert len(list(batches([{"number": torch.tensor(n)} for n in range(6)], [[2, 0], [5]], 0))) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_selection_clips_get_no_jitter(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 6)
    reader = open_reader(root)
    plain, jittered = (datasets(settings(root, tmp_path, jitter=j), reader, reader.label_set()) for j in (0.0, 0.5))
    assert len(plain[1]) == 3
    assert all(torch.equal(plain[1][i]["frames"], jittered[1][i]["frames"]) for i in range(3))
    for i in range(3):  # those to learn from are jittered by the factors of their clip, each by its own
        stored = plain[0][i]["frames"].permute(0, 2, 3, 1).numpy()
        expected = canonical_frame.jittered(stored, *choose_jitter(jittered[0].sampling, 0, i))
        assert np.array_equal(jittered[0][i]["frames"].permute(0, 2, 3, 1).numpy(), expected)


def test_jitter_matches_a_reference():
    images = np.random.default_rng(0).integers(60, 190, (2, 3, 4, 3)).astype(np.uint8)
    grey = images @ np.array([0.299, 0.587, 0.114])
    for factors, expected in (
        ((1.25, 1.0, 1.0), 1.25 * images),
        ((1.0, 0.5, 1.0), grey.mean() + 0.5 * (images - grey.mean())),
        ((1.0, 1.0, 0.5), grey[..., None] + 0.5 * (images - grey[..., None])),
        ((1.0, 1.0, 0.0), np.broadcast_to(grey[..., None], images.shape)),
    ):
        np.testing.assert_allclose(canonical_frame.jittered(images, *factors), expected, atol=0.51)


def test_with_one_random_view_training_uses_that_view():
    sampling = ClipSampling(2, 128, random=True, seed=0)
    assert {choose_view(2, sampling, epoch, index) for epoch in range(3) for index in range(3)} == {1}


@pytest.mark.parametrize("steps", [10, 200])
def test_warm_up_takes_a_twentieth_of_the_steps(steps):
    factors = [lr_factor(step, steps) for step in range(steps + 1)]
    warmup = steps // 20 or 1
    assert factors[:warmup] == pytest.approx([(n + 1) / warmup for n in range(warmup)])
    assert factors[warmup] == pytest.approx(1.0) and factors[(steps + warmup) // 2] == pytest.approx(0.5, abs=0.1)
    assert factors[-1] == pytest.approx(0.0, abs=1e-9) and all(a > b for a, b in itertools.pairwise(factors[warmup:]))


def test_timing_synchronizes_before_and_after_a_call():
    """What was begun before has ended, and what is timed has, too."""
    steps = []
    timing.measure_interleaved(
        {"a": lambda: steps.append("call")}, rounds=2, warmup=1, synchronize=lambda: steps.append("wait")
    )
    assert steps == ["wait", "call", "wait"] * 3


def test_the_head_has_the_dropout_of_the_student_config():
    student = build_small(replace(student_config("tiny", 16, 3, 128), dropout=0.375), False)
    assert [module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)] == [0.375]


def test_a_student_is_evaluated_in_exact_float32(without_selection, tmp_path, monkeypatch):
    inside, calls = [], []

    @contextlib.contextmanager
    def exact():
        inside.append(True)
        yield
        inside.pop()

    monkeypatch.setattr(inference, "exact_float32", exact)
    student = build_small(student_config("tiny", 16, 3, 128), False)
    student.register_forward_pre_hook(lambda *arguments: calls.append(len(inside)))
    reader = open_reader(without_selection)
    data, _ = datasets(settings(without_selection, tmp_path), reader, reader.label_set())
    inference.predict(student, data, 2, 0, torch.device("cpu"))
    assert calls == [1, 1] and not inside


def test_the_line_of_an_epoch_fits_a_terminal():
    entry = {"epoch": 100, "lr": 0.000123456, "total": 1.23456789, "selection_top1": 0.98765, "selection_cosine": None}
    entry |= {"feature": 1.0, "seconds": 12345.678, "seconds_waiting_for_data": 1234.5678}
    line = epoch_line(entry | {"selection_cosine": 0.912345}, 1000)
    assert line == (
        "epoch 100/1000: loss 1.235, top-1 0.988, cosine 0.912, lr 0.00012, 12345.7 s (10% waiting for data)"
    )
    assert len(line) <= 100
    assert "cosine" not in epoch_line(entry, 1000)
