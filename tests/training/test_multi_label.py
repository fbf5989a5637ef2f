"""Label sets with several labels per clip: losses, training, evaluation and comparison."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.fit_head import fit_action_head
from embedonce.models.losses.batch import Counts, Targets
from embedonce.models.losses.registry import loss_settings
from embedonce.models.losses.response import binary_divergence, response_loss
from embedonce.models.losses.task import task_loss
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student_output import StudentOutput
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.compare import compare
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.metrics.average_precision import average_precisions, map_interval, paired_map_difference
from embedonce.pipeline.reporting import console
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.recipe import datasets, loss_settings_for
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.tiny_cache import make_tiny_cache, several_labels


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("several") / "cache", 24, several=True)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 2}
    values |= {"batch_size": 4, "frames_per_clip": 2, "num_workers": 0, "device": "cpu", "lr": 0.02}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


# -- losses ------------------------------------------------------------------------------------------------------------


def case() -> tuple[StudentOutput, Targets]:
    """Five clips of three classes; the second has no label."""
    torch.manual_seed(0)
    output = StudentOutput(*(torch.randn(5, *shape) for shape in ((2, 4), (4,), (2, 3), (3,))))
    multi_hot = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    mask = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1], [1, 0]], dtype=torch.bool)
    return output, Targets(torch.randn(5, 2, 4), torch.randn(5, 2, 3), torch.full((5,), -1), mask, multi_hot)


def test_the_task_term_is_the_binary_cross_entropy_of_labeled_clips():
    output, targets = case()
    (loss,) = task_loss(output, targets, loss_settings())
    kept = [0, 2, 3, 4]
    p = output.clip_logits[kept].sigmoid()
    truth = targets.multi_hot[kept].float()
    expected = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    bare = dataclasses.replace(targets, multi_hot=torch.zeros(5, 3, dtype=torch.bool))
    assert task_loss(output, bare, loss_settings())[0].item() == 0


def test_binary_divergence_by_hand():
    """One class at temperature 2: p = σ(1), q = σ(−1)."""
    p, q = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
    expected = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    found = binary_divergence(torch.tensor([[-2.0]]), torch.tensor([[2.0]]), 2.0)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    logits = torch.randn(4, 3)
    assert binary_divergence(logits, logits, 4.0).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(binary_divergence(torch.tensor([[300.0, -300.0]]), torch.tensor([[-300.0, 300.0]]), 1.0))


def test_classes_are_distilled_one_by_one_only_from_binary_classifiers():
    output, targets = case()
    several = dataclasses.replace(loss_settings(), independent_classes=True)
    frames, clips = response_loss(output, targets, several)
    expected = binary_divergence(output.frame_logits[targets.mask], targets.logits[targets.mask], 4.0)
    assert frames.item() == pytest.approx(expected.item())
    shifted = dataclasses.replace(targets, logits=targets.logits + 5)  # as zero-shot logits are: all high
    softmax = response_loss(output, targets, loss_settings())[1]
    assert response_loss(output, shifted, loss_settings())[1].item() == pytest.approx(softmax.item(), abs=1e-5)
    assert response_loss(output, shifted, several)[1].item() != pytest.approx(clips.item(), abs=1e-3)


@pytest.mark.parametrize("independent", [False, True])
def test_the_losses_of_parts_of_a_step_add_up(independent):
    output, targets = case()
    chosen = dataclasses.replace(loss_settings(), independent_classes=independent)
    whole, total = distillation_loss(output, targets, chosen)["total"], torch.zeros(())
    assert Counts.of(targets) == Counts(frames=8, clips=5, labeled=4)
    for rows in (slice(0, 2), slice(2, 5)):
        values = (getattr(targets, one.name) for one in dataclasses.fields(Targets))
        batch = Targets(*(None if value is None else value[rows] for value in values))
        part = StudentOutput(*(values[rows] for values in output))
        total = total + distillation_loss(part, batch, chosen, Counts.of(batch).share_of(Counts.of(targets)))["total"]
    torch.testing.assert_close(total, whole, atol=1e-5, rtol=1e-5)


def test_a_head_of_binary_classifiers_is_fitted():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((400, 8)).astype(np.float32)
    labels = rows[:, :3] > 0.5  # classes are independent; about a fifth of the rows has none
    head = fit_action_head(rows[:300], labels[:300], rows[300:350], labels[300:350], 3, seed=0)
    with torch.inference_mode():
        logits = head(torch.from_numpy(rows[350:])).numpy()
    assert average_precisions(logits, labels[350:]).min() > 0.85
    assert ((logits > 0) == labels[350:]).mean() > 0.85  # 0 is the decision threshold of a sigmoid


# -- training and evaluation -------------------------------------------------------------------------------------------


def test_items_have_all_labels(tiny, tmp_path):
    reader = open_reader(tiny)
    train, selection = datasets(settings(tiny, tmp_path), reader, reader.label_set())
    assert train.labeled.all() and (train.label_array == -1).all() and len(selection)
    for index, clip in enumerate(train.clips[:6]):
        item = train[index]
        assert np.flatnonzero(item["multi_hot"]).tolist() == list(clip.labels) and int(item["label"]) == -1
    described = [line.split(" ", 4)[4] for line in train.described_clips()]
    assert {line[: line.index("]") + 1] for line in described} == {"[0]", "[1, 2]", "[2]"}


def test_how_classes_are_distilled_depends_on_the_head(tiny, tmp_path):
    labels = open_reader(tiny).label_set()
    assert labels.kind == "fitted" and loss_settings_for(settings(tiny, tmp_path), labels).independent_classes
    zero_shot = dataclasses.replace(labels, kind="zero-shot")
    assert not loss_settings_for(settings(tiny, tmp_path), zero_shot).independent_classes
    single = open_reader(make_tiny_cache(tmp_path / "single", 3)).label_set()
    assert not loss_settings_for(settings(tiny, tmp_path), single).independent_classes


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        small_students.use(patch)
        training.train(settings(tiny, folder, epochs=6))
    return folder


@pytest.mark.integration
def test_training_selects_by_mean_average_precision(trained):
    best = checkpoint.load(trained / "best_student.pt")
    assert best.selected_by == "mean average precision"
    log = json.loads((trained / "train_log.json").read_text())
    scores = [entry["selection_mean_average_precision"] for entry in log]
    assert best.selection["selection_mean_average_precision"] == max(scores) > 0.5
    assert all(entry["selection_top1"] is None and entry["task"] > 0 for entry in log)


@pytest.mark.parametrize("option", ["class_weights", "sampler"])
def test_options_that_need_one_label_are_refused(tiny, tmp_path, option):
    flag = "--" + option.replace("_", "-")
    with pytest.raises(InputError, match=f"{flag} balanced needs one label per clip, and clips of label set 'tiny'"):
        training.train(settings(tiny, tmp_path, **{option: "balanced"}))


@pytest.mark.integration
def test_an_evaluation_has_average_precisions(tiny, trained, tmp_path, monkeypatch):
    results = evaluate(evaluation(tiny, trained, tmp_path))
    stored = np.load(tmp_path / "predictions.npz")
    truth = stored["multi_hot"]
    reader = open_reader(tiny)
    clips = [clip for clip in reader.label_set().clips if clip.split == "val"]
    assert [np.flatnonzero(row).tolist() for row in truth] == [list(clip.labels) for clip in clips]
    assert {clip.labels for clip in clips} == {several_labels(color) for color in range(3)}
    recordings = stored["video_uid"]
    for model, logits in ((results.student, stored["logits"]), (results.teacher, stored["teacher_logits"])):
        expected = average_precisions(logits, truth)
        assert model.mean_average_precision == pytest.approx(expected.mean())
        assert model.map_interval == map_interval(logits, truth, recordings)
        assert model.top1 is model.mean_class_accuracy is model.calibration_error is None and model.reliability == []
    by_class = average_precisions(stored["logits"], truth)
    assert [entry.average_precision for entry in results.per_class] == pytest.approx(by_class)
    assert [entry.clips for entry in results.per_class] == truth.sum(0).tolist()
    difference, _ = paired_map_difference(stored["teacher_logits"], stored["logits"], truth, recordings)
    assert results.comparison.map_drop_points == pytest.approx(100 * difference)
    assert results.multi_label and results.chance is results.majority is results.comparison.kl_divergence is None
    assert results.num_labelled_clips == results.num_clips == len(clips) and results.confusion.student == []
    text = console.comparison_table(results)
    lines = [line.split("  ")[0] for line in text.splitlines()]
    assert "mAP" in lines and "micro AP" in lines and "top-1" not in lines
    assert "clips have several labels: top-1, calibration, confusions and KL divergence are left out" in text
    report = (tmp_path / "report.html").read_text()
    assert "Mean average precision" in report and "Average precision by class" in report
    assert "<h4>label: green, blue</h4>" in report and "✗" not in report


def evaluation(tiny: Path, trained: Path, output_dir: Path) -> EvaluateConfig:
    return EvaluateConfig(tiny, trained / "best_student.pt", output_dir, num_workers=0, device="cpu")


@pytest.mark.integration
def test_a_comparison_has_average_precisions(tiny, trained, tmp_path):
    for name in ("a", "b"):
        evaluate(evaluation(tiny, trained, tmp_path / name))
    config = CompareConfig((tmp_path / "a", tmp_path / "b"), tmp_path / "table", cache_dir=tiny)
    text = console.students_table(compare(config))
    assert text.splitlines()[2].split()[0] == "mAP" and "not computed for mAP" in text
    rows = json.loads((tmp_path / "table" / "comparison.json").read_text())["rows"]
    assert rows[1]["mean_average_precision"] == rows[2]["mean_average_precision"] > 0.3
