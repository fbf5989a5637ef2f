"""Weights of classes and balanced epochs, by hand and in whole runs."""

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedonce.cache.store import open_reader
from embedonce.models.losses.batch import Counts, Targets
from embedonce.models.losses.registry import loss_settings
from embedonce.models.losses.task import task_loss
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student_output import StudentOutput
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training import training_run
from embedonce.pipeline.training.class_balance import balanced_draws, balanced_order, class_weights
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.recipe import datasets, loss_settings_for
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.training_run import TrainingRun
from tests.support import small_students
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 9, num_views=2)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 1}
    values |= {"batch_size": 2, "frames_per_clip": 2, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


@pytest.fixture
def unbalanced(tiny, monkeypatch):
    """The label set with every "blue" clip but one relabeled "red", so that classes have 2n - 1, n and 1 clips."""
    labels = open_reader(tiny).label_set()
    kept = itertools.count()
    clips = [
        dataclasses.replace(c, label=0) if c.label == 2 and c.split == "train" and next(kept) else c
        for c in labels.clips
    ]
    changed = dataclasses.replace(labels, clips=tuple(clips))
    monkeypatch.setattr(training_run.CacheReader, "label_set", lambda reader, name=None: changed)
    return changed


# -- weights -----------------------------------------------------------------------------------------------------------


def test_class_weights_by_hand():
    """6, 3 and 1 of 10 labeled clips; class 3 has none."""
    labels = np.array([0] * 6 + [1] * 3 + [2] + [-1] * 5)
    weights = class_weights(labels, 4)
    assert weights == pytest.approx((10 / 18, 10 / 9, 10 / 3, 0.0))
    assert np.mean([weights[label] for label in labels if label >= 0]) == pytest.approx(1.0)


def test_equal_classes_have_weight_1():
    assert class_weights(np.array([2, 0, 1, 1, 0, 2]), 3) == (1.0, 1.0, 1.0)


def clips_of(labels: list[int]) -> tuple[StudentOutput, Targets]:
    torch.manual_seed(0)
    count = len(labels)
    output = StudentOutput(*(torch.randn(count, *shape) for shape in ((2, 4), (4,), (2, 3), (3,))))
    embeddings, logits = torch.randn(count, 2, 4), torch.randn(count, 2, 3)
    return output, Targets(embeddings, logits, torch.tensor(labels), torch.ones(count, 2, dtype=torch.bool))


def test_the_task_term_weights_each_clip_by_its_class():
    output, targets = clips_of([0, -1, 1, 1, 2])
    weighted = dataclasses.replace(loss_settings(), class_weights=(0.5, 1.0, 3.0))
    losses = [functional.cross_entropy(output.clip_logits[i], targets.labels[i]).item() for i in (0, 2, 3, 4)]
    (loss,) = task_loss(output, targets, weighted)
    assert loss.item() == pytest.approx((0.5 * losses[0] + losses[1] + losses[2] + 3 * losses[3]) / 4, rel=1e-6)
    (usual,) = task_loss(output, targets, loss_settings())
    assert usual.item() == pytest.approx(sum(losses) / 4, rel=1e-6)


def test_weighted_batches_of_a_step_add_up_to_one_batch():
    output, targets = clips_of([0, 2, 1, -1, 2])
    weighted = dataclasses.replace(loss_settings(), class_weights=(0.5, 1.0, 3.0))
    whole, total = distillation_loss(output, targets, weighted)["task"], torch.zeros(())
    for rows in (slice(0, 2), slice(2, 5)):
        batch = Targets(targets.embeddings[rows], targets.logits[rows], targets.labels[rows], targets.mask[rows])
        part = StudentOutput(*(values[rows] for values in output))
        total = total + distillation_loss(part, batch, weighted, Counts.of(batch).share_of(Counts.of(targets)))["task"]
    torch.testing.assert_close(total, whole, atol=1e-6, rtol=1e-6)


def run_of(config: TrainConfig) -> TrainingRun:
    reader = open_reader(config.cache_dir)
    labels = reader.label_set()
    return TrainingRun(config, reader, labels, loss_settings_for(config, labels), World(), torch.device("cpu"))


def test_weights_are_those_of_the_clips_that_are_trained_on(tiny, tmp_path, unbalanced):
    run = run_of(settings(tiny, tmp_path, class_weights="balanced"))
    counts = Counter(clip.label for clip in run.train_set.clips)
    assert len(run.selection_set) and min(counts.values()) == 1  # selection does not take the last clip of a class
    expected = [sum(counts.values()) / (3 * counts[label]) for label in range(3)]
    assert run.settings.class_weights == pytest.approx(expected)
    assert all(student.settings is run.settings for student in run.students.values())
    assert run_of(settings(tiny, tmp_path / "none")).settings.class_weights is None


# -- balanced epochs ---------------------------------------------------------------------------------------------------

LABELS = np.array([0] * 14 + [1] * 4 + [2] * 2 + [-1] * 3)  # 20 labeled clips of 23


@pytest.mark.parametrize("epoch", range(4))
def test_a_balanced_epoch_has_as_many_draws_equally_many_of_each_class(epoch):
    draws = balanced_draws(LABELS, (7, epoch))
    clips = draws % 23
    assert len(draws) == 23 and len(set(draws.tolist())) == 23  # every draw of a clip has a number of its own
    counts = Counter(LABELS[clips].tolist())
    assert counts.pop(-1) == 3 and sorted(counts.values()) == [6, 7, 7]
    assert sorted(clips[LABELS[clips] < 0].tolist()) == [20, 21, 22]
    for label, (fewest, most) in {0: (0, 1), 1: (1, 2), 2: (3, 4)}.items():
        drawn = [int((clips == clip).sum()) for clip in np.flatnonzero(label == LABELS)]
        assert fewest <= min(drawn) and max(drawn) <= most  # spread evenly within the class, too


def test_balanced_epochs_depend_on_seed_and_epoch_only():
    first = balanced_draws(LABELS, (7, 0))
    np.testing.assert_array_equal(balanced_draws(LABELS, (7, 0)), first)
    assert (balanced_draws(LABELS, (7, 1)) != first).any() and (balanced_draws(LABELS, (8, 0)) != first).any()
    seen = {int(draw % 23) for epoch in range(20) for draw in balanced_draws(LABELS, (7, epoch))}
    assert seen == set(range(23))  # in time, every clip is drawn


def test_balanced_epochs_are_grouped_by_shard():
    labels = np.arange(400) % 3
    shards = np.repeat([f"{n:03d}" for n in range(40)], 10)
    order = balanced_order(shards, labels, 1, 0)
    assert sorted(order) == sorted(balanced_draws(labels, (1, 0)))
    windows = [set(part) for part in np.array_split(shards[order % 400], 40)]
    assert max(map(len, windows)) <= 16  # of 40: two windows of 8 shards
    assert not np.array_equal(order, np.sort(order))


def test_the_plan_of_a_balanced_epoch(tiny, tmp_path, unbalanced):
    run = run_of(settings(tiny, tmp_path, sampler="balanced"))
    plan, data = run.plan(0), run.train_set
    order = [*itertools.chain(*plan.batches)]
    assert len(order) == len(data) == plan.total.clips == plan.total.labeled
    counts = Counter(data.clips[index % len(data)].label for index in order)
    assert max(counts.values()) - min(counts.values()) <= 1 and len(counts) == 3
    assert plan.total.frames == sum(int(data[index]["mask"].sum()) for index in order)
    run.world = World(0, 2)
    assert [*itertools.chain(*run.plan(0).batches)] == order  # the same for any number of processes
    usual = run_of(settings(tiny, tmp_path / "usual")).plan(0)
    assert sorted(itertools.chain(*usual.batches)) == list(range(len(data)))


def test_further_draws_of_a_clip_have_other_frames_of_it(tiny, tmp_path):
    reader = open_reader(tiny)
    data, _ = datasets(settings(tiny, tmp_path), reader, reader.label_set())
    items = [data[1 + number * len(data)] for number in range(6)]
    assert {int(item["label"]) for item in items} == {data.clips[1].label}
    assert [int(item["index"]) for item in items] == [1 + number * len(data) for number in range(6)]
    assert len({tuple(item["t_rel_sec"].tolist()) for item in items}) > 1
    assert len({tuple(item["embeddings"].flatten().tolist()) for item in items}) > 2
    assert len(list(data)) == len(data)  # iteration ends


# -- whole runs --------------------------------------------------------------------------------------------------------


def log_of(folder: Path) -> list[dict]:
    """What a run logged, without what time it took."""
    entries = json.loads((folder / "train_log.json").read_text())
    return [{name: value for name, value in entry.items() if "seconds" not in name} for entry in entries]


class StopError(Exception):
    pass


@pytest.mark.integration
@pytest.mark.parametrize("options", [{"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_runs_resume_exactly_and_say_by_which_score(tiny, tmp_path, unbalanced, monkeypatch, caplog, options):
    caplog.set_level("INFO")
    config = settings(tiny, tmp_path / "whole", epochs=2, num_workers=1, **options)
    training.train(config)
    training.train(settings(tiny, tmp_path / "usual", epochs=2))
    assert log_of(tmp_path / "whole")[0]["task"] != log_of(tmp_path / "usual")[0]["task"]
    assert "the best epoch is chosen by" in caplog.text
    best = checkpoint.load(tmp_path / "whole" / "best_student.pt")
    assert best.selected_by in ("top-1 accuracy", "mean class accuracy")
    assert (best.class_weights is None) == ("class_weights" not in options)
    real, saves = training_run.RunFiles.save_state, itertools.count(1)

    def save(*arguments):
        real(*arguments)
        if next(saves) == 2:
            raise StopError

    cut = dataclasses.replace(config, output_dir=tmp_path / "cut", checkpoint_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(training_run.RunFiles, "save_state", save)
        with pytest.raises(StopError):
            training.train(cut)
    training.train(cut)
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")


def test_a_run_selected_by_another_score_is_not_continued(tiny, tmp_path, monkeypatch):
    training.train(settings(tiny, tmp_path))
    monkeypatch.setattr("embedonce.pipeline.training.selection_score.UNBALANCED", 0.5)
    with pytest.raises(InputError, match="best epoch by: top-1 accuracy -> mean class accuracy"):
        training.train(settings(tiny, tmp_path))


def test_the_sampler_needs_labels(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 4, labeled=False)
    with pytest.raises(InputError, match="--sampler balanced needs labels, and none of the 3 clips of label set"):
        training.train(settings(root, tmp_path / "out", gamma=0.0, sampler="balanced"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": "inverse"}, "--class-weights must be one of none, balanced, got 'inverse'"),
        ({"sampler": "random"}, "--sampler must be one of epoch, balanced, got 'random'"),
        ({"class_weights": "balanced", "sampler": "balanced"}, "both make up for rare classes"),
        ({"class_weights": "balanced", "gamma": 0.0}, "--class-weights balanced weights the task term"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, tmp_path, **changes)
