"""Each figure is in its own place in tables, reports and model cards; fitting a head keeps its best epoch."""

import re
from dataclasses import fields, replace
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from embedonce.cache.labels import ClipLabel
from embedonce.models import fit_head
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.export.card import model_card
from embedonce.pipeline.export.facts import HeldOutFacts
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.export.registry import load_format
from embedonce.pipeline.extraction import settings
from embedonce.pipeline.extraction.identity import provenance
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.metrics.results_schema import Calibrated, EvaluationResults
from embedonce.pipeline.reporting import console, training_log
from embedonce.pipeline.reporting.comparison_rows import ComparisonRow, ComparisonTable
from embedonce.pipeline.reporting.html import comparison as page
from embedonce.pipeline.reporting.html import examples
from tests.support.export_facts import make_facts
from tests.support.fake_teacher import FakeTeacher
from tests.support.report_data import NO_PRECISION

FACTS = {
    **{"num_clips": 50, "num_labelled_clips": 49, "split": "val", "num_videos": 30, "note": None},
    **{"num_classes": 40, "chance": 0.025, "classes": [f"c{i}" for i in range(40)]},
}
SIDES = {
    "teacher": {"name": "T", "top1": 0.91, "top5": 0.92, "mean_class_accuracy": 0.93, "calibration_error": 0.941,
                "top1_interval": [0.81, 0.99], "mean_class_interval": [0.83, 0.98],
                "parameters": {"image": 51_000_000, "total": 52_000_000},
                "bytes_on_disk": {"image": 53_000_000, "total": 54_000_000}, "input_size": 55, "macs": 56_000_000,
                "peak_memory_bytes": 57_000_000, "latency_ms": {"p50_ms": 58.0, "p95_ms": 59.0},
                "throughput_per_s": 60.0},
    "student": {"size": "S", "top1": 0.11, "top5": 0.12, "mean_class_accuracy": 0.13, "calibration_error": 0.141,
                "zero_shot_top1": 0.15, "top1_interval": [0.01, 0.19], "mean_class_interval": [0.02, 0.18],
                "parameters": {"deployed": 21_000_000, "training": 22_000_000},
                "bytes_on_disk": {"image": 23_000_000, "total": 24_000_000}, "input_size": 25, "macs": 26_000_000,
                "peak_memory_bytes": 27_000_000, "latency_ms": {"p50_ms": 28.0, "p95_ms": 29.0},
                "throughput_per_s": 30.0},
    "comparison": {"accuracy_drop_points": 80.0, "accuracy_drop_interval": [70.0, 85.0], "compression": 2.4,
                   "agreement": 0.31, "agreement_top5": 0.32, "agreement_interval": [0.3, 0.33], "kl_divergence": 1.5,
                   "embedding_cosine": 0.66, "latency_ratio": 2.1},
    "reference": None,
    **FACTS,
}  # fmt: skip
MISSING = {"schema_version": 1, "multi_label": False, "majority": None, "long_tail": False, "verb_noun": None,
           "retrieval": None, "per_class": [], "frames_in_several_clips": None, "comparable_with": None,
           "calibrated": None, "environment": {}, "confusion": {"teacher": [], "student": []}}  # fmt: skip
for side in ("teacher", "student"):
    SIDES[side] |= {"reliability": [], **NO_PRECISION}
SIDES["comparison"] |= {"map_drop_points": None, "map_drop_interval": None}
SIDES["teacher"] |= {"weights": "w", "head": "fitted"}
RESULTS = EvaluationResults.from_dict(MISSING | SIDES)


def test_the_report_gives_each_model_its_own_column():
    markup = page.comparison_table(RESULTS)
    rows = re.findall(r"<tr>(.*?)</tr>", markup, re.S)
    texts = [re.sub(r"<[^>]+>", " ", row) for row in rows]

    def row(name: str) -> str:
        return next(text for text in texts if name in text)

    for name, ours, theirs in (
        ("top-1 accuracy", "91.0", "11.0"),
        ("top-5 accuracy", "92.0", "12.0"),
        ("mean class accuracy", "93.0", "13.0"),
        ("calibration error", "0.941", "0.141"),
        ("parameters, deployed", "51", "21"),
        ("parameters, total", "52", "22"),
        ("size on disk (", "53", "23"),
        ("size on disk, total", "54", "24"),
        ("input side", "55", "25"),
        ("multiply-adds", "56", "26"),
        ("peak memory", "57", "27"),
        ("latency, median", "58.0", "28.0"),
        ("latency, 95th", "59.0", "29.0"),
        ("throughput", "60.0", "30.0"),
    ):
        text = row(name)
        assert ours in text and theirs in text and text.index(ours) < text.index(theirs), name
    assert "83.0 to 98.0" in row("mean class accuracy") and "2.0 to 18.0" in row("mean class accuracy")
    assert "31.0" in row("agreement (") and "32.0" in row("agreement@5") and "15.0" in row("zero-shot")
    assert "1.500" in row("KL divergence") and "0.660" in row("cosine")
    assert "Top-1 11.0 %, and 91.0 % for the teacher: 80.0 points lost" in page.headline(RESULTS).replace("\xa0", " ")


def test_the_terminal_table_gives_each_model_its_own_column():
    lines = {line.split("  ")[0]: line for line in console.comparison_table(RESULTS).splitlines()}
    for name, ours, theirs in (
        ("top-1", "91.0", "11.0"),
        ("top-5", "92.0", "12.0"),
        ("mean class", "93.0 % (83.0 to 98.0)", "13.0 % (2.0 to 18.0)"),
        ("calibration error", "0.941", "0.141"),
        ("parameters", "51.00 M", "21.00 M"),
        ("on disk", "53.0 MB", "23.0 MB"),
        ("multiply-adds", "56 M", "26 M"),
        ("latency", "58.0 ms", "28.0 ms"),
        ("throughput", "60 frames", "30 frames"),
    ):
        assert lines[name].index(ours) < lines[name].index(theirs), name
    assert "15.0 %" in lines["zero-shot"] and "31.0 %" in lines["agreement"] and "32.0 %" in lines["agreement@5"]
    assert "1.500 nats" in lines["KL divergence"] and "0.660" in lines["cosine"]


def test_a_model_card_has_the_figures_of_the_export():
    preprocessing = {"clip_seconds": 3.5, "frames_per_second": 4.25, "canonical_short_side": 281, "jpeg_quality": 83}
    facts = make_facts(classes=["alpha", "beta"], teacher="TT", **preprocessing)
    held_out = HeldOutFacts("labels", "test", "train", 0.4, 0.8)
    parity = {"int8": Parity(9, 0.25, 0.5, 0.75, 0.98765, 0.625)}
    text = model_card(facts, held_out, {"frames.int8.onnx": 3_210_000}, parity, {"int8": load_format("int8")})
    text = " ".join(text.split())
    assert "Student of TT: xs at 192 px" in text and "a 77-dimensional embedding" in text
    assert "On 9 clips of the split `test` (label set `labels`)" in text
    assert "top-1 accuracy is 40.0 % for the PyTorch model and 80.0 % for the teacher" in text
    assert "| `frames.int8.onnx` | 3.21 MB | 62.5 % | 75.0 % | 0.98765 | 2.5e-01 |" in text
    assert "on frames of the split `train`" in text and "alpha, beta" in text and "lasts 3.5 s" in text
    assert "4.25 frames per second" in text and "its short side has 281 px" in text
    assert "JPEG of quality 83" in text


def test_the_table_of_students_has_one_line_per_student():
    others = dict.fromkeys(field.name for field in fields(ComparisonRow))
    shared = others | {"calibration_error": 0.2, "bytes_on_disk": 4_000_000}
    rows = [
        shared | {"role": "teacher", "name": "T", "top1": 0.9, "top1_low": 0.8, "top1_high": 0.95,
                  "parameters": 9_000_000},
        shared | {"role": "student", "name": "one", "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6, "agreement": 0.7,
                  "parameters": 1_000_000, "latency_p50_ms": 3.0},
        shared | {"role": "student", "name": "two", "top1": 0.3, "top1_low": 0.2, "top1_high": 0.35, "agreement": 0.6,
                  "parameters": 2_000_000, "latency_p50_ms": 5.0, "difference_points": -20.0, "difference_low": -30.0,
                  "difference_high": -10.0},
    ]  # fmt: skip
    facts = {name: value for name, value in FACTS.items() if name != "classes"}
    table = {"schema_version": 1, "multi_label": False, "majority": None, "baseline": "one", "remarks": ["mark"]}
    table["rows"] = [ComparisonRow(**row) for row in rows]
    text = console.students_table(ComparisonTable(**(facts | table)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "teacher T 90.0 % (80.0 to 95.0) 0.200 9.00 M 4.0 MB not timed" in lines
    assert "one 50.0 % (40.0 to 60.0) 70.0 % 0.200 1.00 M 4.0 MB 3.0 ms" in lines
    assert "two -20.0 points (-30.0 to -10.0)" in lines and "mark" in lines


def test_an_example_shows_the_predictions_of_both_models(monkeypatch):
    monkeypatch.setattr(examples, "_frames", lambda dataset, index: iter(()))
    clips = [ClipLabel("a", "u", 0.0, 1.0, 0, "val"), ClipLabel("b", "w", 2.0, 3.0, 1, "val")]
    logits, teacher = np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([[0.0, 9.0], [9.0, 0.0]])
    found = Predictions(logits, logits, teacher, teacher, np.array([0, 1]))
    shown = examples.example(SimpleNamespace(clips=clips), found, 1)
    assert (shown.video_uid, shown.start_sec, shown.end_sec, shown.labels) == ("w", 2.0, 3.0, (1,))
    assert shown.student[0][0] == 1 and shown.teacher[0][0] == 0
    card = examples.cards([shown], ["xx", "yy"])
    assert card.index("teacher ✗ wrong") < card.index("student ✓ right") and "label: yy" in card


FIGURES = {"calibration_error_before": 0.1234, "calibration_error": 0.0345, "negative_log_likelihood_before": 0.5678,
           "negative_log_likelihood": 0.4321, "reason": None}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (FIGURES, ", changes calibration error 0.123 to 0.035, negative log-likelihood 0.568 to 0.432"),
        (
            FIGURES | {"calibration_error_before": None, "calibration_error": None},
            ", changes negative log-likelihood 0.5",
        ),
        (dict.fromkeys(FIGURES) | {"reason": "<none> has a label"}, ", was not measured: <none> has a label"),
    ],
)
def test_the_table_and_the_report_say_what_the_temperature_changes(changes, text):
    results = replace(RESULTS, calibrated=Calibrated(1.83, 57, **changes))
    said = f"he student's temperature 1.83, fitted to 57 selection clips{text}"
    assert f"\nt{said}" in console.comparison_table(results)
    assert f"<p>T{escape(said)}" in page.comparison_table(results)


def test_the_table_and_the_report_say_why_there_is_no_temperature():
    results = replace(RESULTS, calibrated=Calibrated(None, 3, **(dict.fromkeys(FIGURES) | {"reason": "few"})))
    said = "he student's logits have no temperature: few"
    assert f"\nt{said}\n" in f"{console.comparison_table(results)}\n"
    assert f"<p>T{escape(said)}.</p>" in page.comparison_table(results)
    assert "temperature" not in console.comparison_table(RESULTS) + page.comparison_table(RESULTS)


def test_a_run_is_summarized_by_its_best_epoch():
    best = (4, {"selection_top1": 0.75, "selection_cosine": 0.5})
    result = training_log.summary(*best, 9, False)
    assert result == "best student of 9 epochs: epoch 4 (selection top1 0.750, selection cosine 0.500)"
    assert training_log.summary(*best, 9, True) == f"already trained: {result}"


def test_provenance_has_the_installed_versions():
    result = provenance(FakeTeacher())
    assert result["libraries"]["numpy"] == np.__version__ and torch.__version__.startswith(result["libraries"]["torch"])
    assert result["python"].count(".") == 2 and result["host"]


def test_the_number_of_decode_processes_is_that_of_the_settings_or_of_the_usable_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "usable_cores", lambda: 3)
    config = ExtractConfig(tmp_path, False, tmp_path, decode_workers=7)
    assert config.num_decode_workers == 7
    assert ExtractConfig(tmp_path, False, tmp_path).num_decode_workers == 3


# -- the fitted head ---------------------------------------------------------------------------------------------------


def fitted(monkeypatch, accuracies: list[float], held: int = 4):
    """(the head, weights at each look, smoothings) of a fit whose held-out accuracies are these, then the last."""
    looks, smoothing, result, real = [], set(), iter(accuracies), torch.nn.functional.cross_entropy

    def accuracy(head, rows, targets):
        assert not head.training
        looks.append({name: value.clone() for name, value in head.state_dict().items()})
        return next(result, accuracies[-1])

    def entropy(*arguments, **settings):
        smoothing.add(settings.get("label_smoothing"))
        return real(*arguments, **settings)

    monkeypatch.setattr(fit_head, "_score", accuracy)
    monkeypatch.setattr(fit_head.nn.functional, "cross_entropy", entropy)
    monkeypatch.setattr(fit_head, "TEACHER_HEAD_HIDDEN", (8,))
    rows = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
    labels = np.arange(12) % 3
    head = fit_head.fit_action_head(rows, labels, rows[:held], labels[:held], 3, seed=0)
    return head, looks, smoothing


def test_fitting_keeps_the_best_epoch_and_stops_early(monkeypatch):
    head, looks, smoothing = fitted(monkeypatch, [0.1, 0.5, 0.9, 0.9, 0.8])
    assert len(looks) == 3 + fit_head.PATIENCE and smoothing == {0.05} and not head.training
    last = "3.weight"  # the layer that the scaling of inputs is not folded into
    torch.testing.assert_close(head.state_dict()[last], looks[2][last], rtol=0, atol=0)
    assert not torch.equal(looks[2][last], looks[-1][last])
    assert [module.p for module in head if isinstance(module, torch.nn.Dropout)] == [0.3]


def test_fitting_continues_while_it_improves(monkeypatch):
    _, looks, _ = fitted(monkeypatch, [n / 100 for n in range(fit_head.EPOCHS)])
    assert len(looks) == fit_head.EPOCHS
