"""Figures are of the right clips, recordings, models and units: intervals, comparisons, exports, environment."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.evaluation import comparison, teacher_latency
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.predictions import StoredPredictions
from embedonce.pipeline.evaluation.results import MeasuredCosts, StudentFacts, assemble
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export import export as exporting
from embedonce.pipeline.export import parity
from embedonce.pipeline.export.parity import EXACT, HALF, Limits
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.metrics.bootstrap_intervals import class_mean_interval, mean_interval, paired_difference
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability
from embedonce.pipeline.metrics.results_schema import Costs, EvaluationResults, Latency, ReliabilityBin, Sizes
from embedonce.pipeline.naming.uids import part_uid
from tests.support import small_students
from tests.support.fake_teacher import fake_identity
from tests.support.small_students import build_small
from tests.support.tiny_cache import make_tiny_cache

UUIDS = [f"{i:08x}-0000-0000-0000-000000000000" for i in range(30)]
TIMED = Costs(latency_ms=Latency(2.0, 3.0), throughput_per_s=5.0, macs=6, peak_memory_bytes=7)


def evaluated_clips() -> tuple[Predictions, list[ClipLabel], np.ndarray]:
    """44 clips of 11 recordings, each of two files, every eleventh without a label; and the recordings."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 44)
    labels[::11] = -1
    logits, teacher = (generator.standard_normal((44, 3)) + weight * np.eye(3)[labels] for weight in (1, 2))
    vectors = generator.standard_normal((2, 44, 4)).astype(np.float32)
    uids = [part_uid(UUIDS[i // 4], UUIDS[11 + i // 2 % 19]) for i in range(44)]
    clips = [ClipLabel(f"c{i}", uids[i], float(i), i + 1.0, int(labels[i]), "val") for i in range(44)]
    return Predictions(logits, vectors[0], teacher, vectors[1], labels), clips, np.array([u[:36] for u in uids])


def results_of(
    found: Predictions,
    clips: list[ClipLabel],
    teacher_ms: float | None = None,
    classes: tuple[str, ...] = ("a", "b", "c"),
) -> EvaluationResults:
    student = StudentFacts("xs", {"deployed": 10, "training": 12}, Sizes(900, 901), input_size=96)
    teacher = replace(TIMED, latency_ms=Latency(teacher_ms, 99.0)) if teacher_ms else evaluating.NOT_MEASURED
    labels = LabelSet("x", "fitted", classes, (), None, {})
    return assemble(found, clips, labels, None, fake_identity(), student, MeasuredCosts(teacher, TIMED))


def test_intervals_are_clustered_by_recording_and_in_the_units_of_their_figures():
    found, clips, recordings = evaluated_clips()
    results, labeled = results_of(found, clips).as_dict(), found.labels >= 0
    assert (results["num_videos"], results["num_clips"], results["num_labelled_clips"]) == (11, 44, 40)
    right = [(logits.argmax(1) == found.labels)[labeled] for logits in (found.teacher_logits, found.logits)]
    for side, values in zip(("teacher", "student"), right, strict=True):
        assert results[side]["top1_interval"] == pytest.approx(mean_interval(values, recordings[labeled]))
        by_class = class_mean_interval(values, found.labels[labeled], recordings[labeled])
        assert results[side]["mean_class_interval"] == pytest.approx(by_class)
    difference, limits = paired_difference(*right, recordings[labeled])
    compared = results["comparison"]
    assert compared["accuracy_drop_points"] == pytest.approx(100 * difference)
    assert compared["accuracy_drop_interval"] == pytest.approx([100 * end for end in limits])
    same = found.logits.argmax(1) == found.teacher_logits.argmax(1)
    assert compared["agreement_interval"] == pytest.approx(mean_interval(same, recordings))
    assert limits[0] < difference < limits[1]


def test_top5_counts_five_classes_and_top1_one():
    """Of eight classes, by sorting."""
    generator = np.random.default_rng(8)
    logits, teacher = generator.standard_normal((2, 60, 8))
    labels, vectors = generator.integers(0, 8, 60), generator.standard_normal((2, 60, 4)).astype(np.float32)
    clips = [ClipLabel(str(i), "v", float(i), i + 1.0, int(labels[i]), "val") for i in range(60)]
    found = Predictions(logits, vectors[0], teacher, vectors[1], labels)
    results = results_of(found, clips, classes=tuple("abcdefgh")).as_dict()

    def among(of: np.ndarray, classes: np.ndarray, count: int) -> float:
        return np.mean([one in row for one, row in zip(classes, np.argsort(-of, axis=1)[:, :count], strict=True)])

    for side, of in (("student", logits), ("teacher", teacher)):
        assert results[side]["top5"] == pytest.approx(among(of, labels, 5))
        assert results[side]["top1"] == pytest.approx(among(of, labels, 1)) != results[side]["top5"]
    compared = results["comparison"]
    assert compared["agreement_top5"] == pytest.approx(among(logits, teacher.argmax(1), 5))
    assert compared["agreement"] == pytest.approx(among(logits, teacher.argmax(1), 1))


def test_a_paired_interval_contains_its_difference():
    values = np.tile([1.0, 1.0, 0.0, 1.0], 10)
    difference, (low, high) = paired_difference(values, np.tile([0.0, 1.0, 0.0, 1.0], 10), np.arange(40) % 13)
    assert difference == pytest.approx(0.25) and 0.1 < low < difference < high < 0.5


def test_calibration_uses_fifteen_bins_and_absolute_gaps():
    bins = [ReliabilityBin(0.9, 0.5, 3), ReliabilityBin(0.2, 0.6, 1)]
    assert expected_calibration_error(bins) == pytest.approx((3 * 0.4 + 0.4) / 4)
    sure = np.array([[30.0, 0.0], [0.0, 0.0]])  # confidences 1.0 and 0.5
    assert [found.clips for found in reliability(sure, np.array([0, 0]))] == [1, 1]
    spread = np.log(np.array([[p, 1 - p] for p in np.linspace(0.5001, 0.9999, 400)]))
    counts = [found.clips for found in reliability(spread, np.zeros(400, int))]
    assert counts == pytest.approx([27] + [53] * 7, abs=1)


def test_the_environment_names_the_devices_of_evaluation_and_timing(tmp_path):
    config = EvaluateConfig(tmp_path, tmp_path / "x" / "one.pt", tmp_path)
    elsewhere = evaluating._environment(config, torch.device("meta"))
    assert (elsewhere["judged_on"], elsewhere["device"], elsewhere["checkpoint"]) == ("meta", "meta", "one.pt")
    with_onnx = evaluating._environment(replace(config, runtime="onnx"), torch.device("meta"))
    assert (with_onnx["judged_on"], with_onnx["device"], with_onnx["runtime"]) == ("meta", "cpu", "onnx")


def test_encoders_are_timed_on_the_given_device(tmp_path, monkeypatch):
    requested = []
    monkeypatch.setattr(teacher_latency, "choose_device", lambda name: requested.append(name) or torch.device("cpu"))
    monkeypatch.setattr(
        teacher_latency, "image_tower_for_latency", lambda model, device: (torch.nn.Linear(2, 3), len(model))
    )
    found = teacher_latency.image_encoders(make_tiny_cache(tmp_path / "cache", 1), "mps", None)
    assert requested == ["mps"] and found["teacher"].image.shape == (1, 3, 4, 4)
    assert found["reference"].stored == {"parameters": 9, "bytes_on_disk": 36}


# -- compare -----------------------------------------------------------------------------------------------------------


def test_teacher_costs_are_those_of_the_first_evaluation_that_timed_it():
    found, clips, _ = evaluated_clips()
    untimed, timed, later = (results_of(found, clips, ms) for ms in (None, 40.0, 70.0))
    later = replace(later, teacher=replace(later.teacher, macs=60))
    entries = [comparison.Entry(str(i), "", entry, None) for i, entry in enumerate((untimed, timed, later))]
    row = comparison.compare(entries).rows[0]
    assert (row.latency_p50_ms, row.latency_p95_ms, row.throughput_per_s, row.macs) == (40.0, 99.0, 5.0, 6)


def test_differences_match_clips_by_video_and_time():
    found, clips, recordings = evaluated_clips()
    other = np.random.default_rng(5).standard_normal(found.logits.shape)
    order = np.random.default_rng(6).permutation(44)

    def entry(logits, order):
        columns = {"video_uid": [c.video_uid for c in clips], "start_sec": [c.start_sec for c in clips],
                   "end_sec": [c.end_sec for c in clips], "labels": found.labels, "logits": logits}  # fmt: skip
        arrays = {name: np.array(values)[order] for name, values in columns.items()}
        return comparison.Entry("", "", None, StoredPredictions(**arrays))

    row = comparison._paired(entry(other, order), entry(found.logits, np.arange(44)))
    labeled = found.labels >= 0
    right = [(logits.argmax(1) == found.labels)[labeled] for logits in (other, found.logits)]
    difference, (low, high) = paired_difference(*right, recordings[labeled])
    figures = [row.difference_points, row.difference_low, row.difference_high]
    assert figures == pytest.approx([100 * difference, 100 * low, 100 * high]) and row.not_paired is None


# -- export ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A small cache, and an untrained student of it in student.pt."""
    small_students.use(monkeypatch)
    reader = open_reader(make_tiny_cache(tmp_path / "cache", 4))
    student = build_small(student_config("tiny", 16, 3, 128), False)
    meta = checkpoint.new_checkpoint(student, reader.label_set(), reader.identity.teacher, 2)
    checkpoint.save(tmp_path / "student.pt", meta)
    return SimpleNamespace(folder=tmp_path, reader=reader, meta=meta)


def config_of(place, **changes) -> ExportConfig:
    return ExportConfig(place.folder / "cache", place.folder / "student.pt", place.folder / "out", **changes)


@pytest.mark.parametrize(("frames_per_clip", "expected"), [(2, 6), (4, 7), (7, 7)])
@pytest.mark.integration
def test_calibration_uses_real_frames_without_padding(place, frames_per_clip, expected):
    """As many as requested, of no more clips than needed; clips have five frames."""
    config = config_of(place, calibration_frames=7 if frames_per_clip > 2 else 6)
    meta = replace(place.meta, frames_per_clip=frames_per_clip)
    frames, split = exporting._calibration(config, meta, place.reader, place.reader.label_set())
    assert frames.shape[0] == (expected if frames_per_clip < 5 else 5) and split == "train"
    assert frames.reshape(len(frames), -1).any(1).all()  # no padding


def test_an_export_is_compared_with_the_student_in_single_and_in_double_precision(place, monkeypatch):
    precisions, held = [], []
    real = exporting._predicted

    def predicted(student, clips):
        precisions.append(next(iter(student.parameters()), torch.zeros(0)).dtype)
        return real(student, clips)

    def write_formats(formats, inputs, expected, clips):
        held.append(parity.measure_parity(expected[0], *expected))
        return {f"frames.{name}.onnx": b"" for name in formats}, dict.fromkeys(formats, held[0])

    monkeypatch.setattr(exporting, "check_runtimes", lambda formats: None)
    monkeypatch.setattr(exporting, "_predicted", predicted)
    monkeypatch.setattr(exporting, "_write_formats", write_formats)
    exporting.export(config_of(place, formats="fp32"))
    assert precisions == [torch.float32, torch.float64]
    assert held[0].max_difference == 0.0 and held[0].clips == 6
    figures = json.loads((place.folder / "out" / "parity.json").read_text())
    assert figures["fp32"]["rounding"] == held[0].rounding > 0


def test_the_accuracy_of_an_export_is_that_of_the_exported_files():
    found, _, _ = evaluated_clips()
    other = replace(found, logits=found.logits[:, ::-1])
    figures = parity.measure_parity(other, found, found)
    assert figures.top1 == other.top1 != found.top1 and figures.rounding == 0.0 < figures.max_difference
    assert figures.agreement == pytest.approx((other.logits.argmax(1) == found.logits.argmax(1)).mean())


def test_more_than_twice_pytorchs_rounding_is_a_divergence():
    close = parity.Parity(9, max_difference=0.019, rounding=0.01, agreement=1.0, cosine=1.0, top1=None)
    parity.check_parity("fp32", close, parity.EXACT)
    with pytest.raises(parity.DivergedError, match=r"largest difference is 0\.021 and must be at most 0\.02"):
        parity.check_parity("fp32", replace(close, max_difference=0.021), parity.EXACT)


def test_each_format_is_written_run_and_checked_with_its_own_limits(monkeypatch):
    found, clips, _ = evaluated_clips()
    checked, ran = [], []

    def format_of(name: str, limits: Limits) -> SimpleNamespace:
        return SimpleNamespace(write=lambda _: {f"{name}.bin": b""}, load=tuple, limits=limits, evaluated_by=None)

    formats = {"two": format_of("two", EXACT), "one": format_of("one", HALF)}
    inputs = SimpleNamespace(facts=SimpleNamespace(temperature=0.5))
    monkeypatch.setattr(exporting, "ExportedStudent", lambda runnable: runnable)
    monkeypatch.setattr(exporting, "_predicted", lambda runnable, clips: ran.append(runnable) or found)
    monkeypatch.setattr(exporting, "check_parity", lambda name, figures, limits: checked.append((name, limits)))
    files, figures = exporting._write_formats(formats, inputs, (found, found), clips)
    assert ran == [("two.bin",), ("one.bin",)]
    assert checked == [("two", replace(EXACT, max_difference=2e-4)), ("one", HALF)]
    assert list(files) == ["two.bin", "one.bin"] and list(figures) == ["two", "one"]
