"""Every setting has its effect, and every figure of an evaluation, comparison and export is the right one."""

import contextlib
import io
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.device import choose_device
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher
from embedonce.pipeline.clips import loader as loading
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation import compare as comparing
from embedonce.pipeline.evaluation import comparison, teacher_latency
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.costs import NOT_MEASURED, TimedModel
from embedonce.pipeline.evaluation.predictions import StoredPredictions
from embedonce.pipeline.evaluation.predictions_file import predictions_file
from embedonce.pipeline.evaluation.results import MeasuredCosts, StudentFacts, assemble
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.export import export as exporting
from embedonce.pipeline.export import parity
from embedonce.pipeline.export.facts import facts_of
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.weights import timm_config
from embedonce.pipeline.frames.preprocessing import clip_seconds
from embedonce.pipeline.metrics import bootstrap_intervals
from embedonce.pipeline.metrics.results_schema import Costs, EvaluationResults, Latency, Sizes
from embedonce.pipeline.processes import timing
from embedonce.pipeline.reporting import console, plots
from embedonce.pipeline.reporting.html import choice
from embedonce.pipeline.training import trainer as training
from tests.conftest import make_cache_identity
from tests.support import small_students
from tests.support.fake_teacher import fake_identity
from tests.support.small_students import settings
from tests.support.tiny_cache import make_tiny_cache

COST = Costs(latency_ms=Latency(2.0, 3.0), throughput_per_s=11.0, macs=13, peak_memory_bytes=17)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A cache with two label sets, and in `out` a student of one epoch."""
    root = tmp_path_factory.mktemp("evaluation")
    make_tiny_cache(root / "cache", 10)
    reader = open_reader(root / "cache")
    writer = open_writer(root / "cache", reader.identity)
    writer.create_label_set(LabelSet("other", "none", ("red", "green", "blue"), (), None, {}), None)
    clips = [replace(c, label=2) for c in reader.label_set("tiny").clips if c.split == "val" and c.start_sec == 0.0]
    writer.publish_clips("other", 0, clips)
    writer.close()
    with pytest.MonkeyPatch.context() as patch:
        small_students.use(patch)
        training.train(settings(root / "cache", root / "out", epochs=1, label_set="tiny"))
    return root


@pytest.fixture
def run_evaluation(place, tmp_path, monkeypatch):
    """changes of the configuration -> the results as JSON values; arguments of the parts are in `calls`."""
    calls = {"measure": [], "predict": [], "report": []}
    real = evaluating.predict

    def measured(models, device, runtime="torch"):
        calls["measure"].append((models, device, runtime))
        times = {"student": 2.0, "teacher": 6.0, "reference": 8.0}
        return {
            name: replace(COST, macs=100 * (name == "student") + 1, latency_ms=Latency(times[name], 9.0))
            for name in models
        }

    def predicted(student, dataset, *rest):
        calls["predict"].append((dataset, *rest))
        return real(student, dataset, *rest)

    monkeypatch.setattr(evaluating, "measure", measured)
    monkeypatch.setattr(evaluating, "predict", predicted)
    monkeypatch.setattr(evaluating, "evaluation_plot", lambda results: b"plot")
    monkeypatch.setattr(evaluating, "report", lambda *arguments: calls["report"].append(arguments) or b"page")

    def run(encoders=None, **changes) -> dict:
        usual = {"label_set": "tiny", "num_workers": 0, "device": "cpu"}
        checkpoint = place / "out" / "best_student.pt"
        config = EvaluateConfig(place / "cache", checkpoint, tmp_path, **(usual | changes))
        return evaluating.evaluate(config, encoders).as_dict()

    run.calls, run.folder = calls, tmp_path
    return run


def clips_of(run_evaluation) -> list[str]:
    return [clip.clip_id for clip in run_evaluation.calls["predict"][-1][0].clips]


# -- options of evaluate -----------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_the_split_and_the_label_set_are_those_of_the_settings(place, run_evaluation):
    labels = open_reader(place / "cache").label_set("tiny")
    for split in ("val", "train"):
        assert run_evaluation(split=split)["split"] == split
        assert clips_of(run_evaluation) == [clip.clip_id for clip in labels.clips if clip.split == split]
    with pytest.raises(InputError, match="--split test has no clip"):
        run_evaluation(split="test")
    results = run_evaluation(label_set="other")
    assert results["num_clips"] == 4 and results["teacher"]["head"] == "none"
    assert [entry["class"] for entry in results["per_class"]] == ["blue"]


@pytest.mark.integration
def test_num_samples_draws_clips_by_the_seed(run_evaluation):
    run_evaluation()
    every, drawn = clips_of(run_evaluation), []
    for seed in range(4):
        assert run_evaluation(num_samples=4, seed=seed)["num_clips"] == 4
        drawn.append(clips_of(run_evaluation))
        assert drawn[-1] == [name for name in every if name in drawn[-1]]  # in order
    assert len(set(map(tuple, drawn))) >= 3 and drawn.count(every[:4]) <= 1
    run_evaluation(num_samples=4, seed=2)
    assert clips_of(run_evaluation) == drawn[2]
    run_evaluation(num_samples=99)
    assert clips_of(run_evaluation) == every


def test_batch_size_workers_and_device_are_those_of_the_settings(run_evaluation, monkeypatch):
    workers, loader = [], loading.DataLoader
    monkeypatch.setattr(loading, "DataLoader", lambda *a, **k: workers.append(k["num_workers"]) or loader(*a, **k))
    run_evaluation(batch_size=5, num_workers=1)
    _, batch_size, num_workers, device = run_evaluation.calls["predict"][-1]
    assert (batch_size, num_workers, device.type, workers) == (5, 1, "cpu", [1])


def test_frames_per_clip_and_resolution_are_those_of_the_checkpoint(run_evaluation):
    run_evaluation()
    sampling = run_evaluation.calls["predict"][-1][0].sampling
    assert (sampling.frames_per_clip, sampling.resolution, sampling.random) == (2, 128, False)


@pytest.mark.integration
def test_costs_are_measured_in_the_runtime_of_the_settings(run_evaluation, monkeypatch):
    placed, real, exact, costs, inside = (
        [],
        evaluating._models_to_time,
        [],
        evaluating._measure_costs,
        contextlib.ExitStack(),
    )
    monkeypatch.setattr(evaluating, "_models_to_time", lambda *recorded: placed.append(recorded[3]) or real(*recorded))
    inside.callback(exact.append, "left")
    monkeypatch.setattr(evaluating, "exact_float32", lambda: exact.append("entered") or inside)
    monkeypatch.setattr(evaluating, "_measure_costs", lambda *recorded: exact.append("timed") or costs(*recorded))
    encoders = {name: TimedModel(torch.nn.Linear(3, side), torch.zeros(1, 3, side, side)) for name, side in
              (("teacher", 4), ("reference", 5))}  # fmt: skip
    pytest.importorskip("onnxruntime")
    results = run_evaluation(encoders, runtime="onnx", device="auto")
    models, device, runtime = run_evaluation.calls["measure"][-1]
    assert list(models) == ["student", "teacher", "reference"] and runtime == "onnx" and device.type == "cpu"
    assert models["student"].image.shape == (1, 3, 128, 128) and not models["student"].module.training
    assert results["environment"]["runtime"] == "onnx" and results["environment"]["device"] == "cpu"
    assert results["student"]["macs"] == 101 and results["teacher"]["macs"] == 1
    reference = results["reference"]
    assert reference["parameters"] == 20 and reference["bytes_on_disk"] == 80 and reference["input_size"] == 5
    assert reference["latency_ratio"] == 4.0 and results["comparison"]["latency_ratio"] == 3.0
    without = run_evaluation()
    assert run_evaluation.calls["measure"][-1][2] == "torch" and without["environment"]["runtime"] == "torch"
    assert without["reference"] is None and without["teacher"]["latency_ms"] is None
    assert placed == ["onnx", "torch"] and exact == ["entered", "timed", "left", "entered", "timed"]


def test_student_facts_match_the_checkpoint(place, run_evaluation):
    results = run_evaluation()
    content = torch.load(place / "out" / "best_student.pt", weights_only=True)["model"]
    facts = results["student"]
    assert facts["size"] == "tiny" and facts["input_size"] == 128
    assert facts["bytes_on_disk"]["total"] == facts["bytes_on_disk"]["image"]
    buffers = 2 * 3 * 4  # mean and std, which are no part of a checkpoint
    assert facts["bytes_on_disk"]["image"] == pytest.approx(
        sum(tensor.numel() * tensor.element_size() for tensor in content.values()), abs=buffers
    )
    trained = sum(t.numel() for name, t in content.items() if "running" not in name and "num_batches" not in name)
    assert facts["parameters"]["training"] == trained
    environment = results["environment"]
    assert environment["checkpoint"] == "best_student.pt" and environment["threads"] == torch.get_num_threads()
    assert environment["device"] == "cpu"


def test_output_files_hold_predictions_results_and_the_training_log(place, run_evaluation):
    results = run_evaluation()
    ((reported, found, dataset, log),) = run_evaluation.calls["report"]
    assert reported.as_dict() == results and len(dataset) == results["num_clips"]
    assert log == (place / "out" / "train_log.csv").read_text()
    with np.load(run_evaluation.folder / "predictions.npz") as file:
        for name in ("logits", "teacher_logits", "embeddings", "teacher_embeddings"):
            np.testing.assert_allclose(file[name], getattr(found, name), atol=1e-3)
    assert json.loads((run_evaluation.folder / "evaluation_results.json").read_text()) == results
    assert "num_workers: 0" in (run_evaluation.folder / "evaluate_config.yaml").read_text()
    assert (run_evaluation.folder / "comparison_plot.png").read_bytes().startswith(b"plot")
    assert (run_evaluation.folder / "report.html").read_bytes().startswith(b"page")


def test_teacher_encoders_are_those_of_the_cache_on_the_given_device(place, monkeypatch):
    recorded = []

    def encoder(model, device):
        recorded.append((model, device.type))
        return torch.nn.Linear(1, 1), 8

    monkeypatch.setattr(teacher_latency, "image_tower_for_latency", encoder)
    found = teacher_latency.image_encoders(place / "cache", "cpu", None)
    assert list(found) == ["teacher", "reference"] and found["teacher"].image.shape == (1, 3, 8, 8)
    assert recorded == [("fake", "cpu"), (teacher_latency.REFERENCE, "cpu")]
    teacher_latency.image_encoders(place / "cache", "cpu", "somewhere/fake.json")
    assert recorded[2] == ("somewhere/fake.json", "cpu")
    with pytest.raises(InputError, match="is not fake, the teacher of this cache"):
        teacher_latency.image_encoders(place / "cache", "cpu", "other.json")


def test_auto_is_the_best_available_device():
    assert choose_device("cpu").type == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


# -- figures, worked by hand -------------------------------------------------------------------------------------------

LABELS = np.array([0, 0, 1, 1, 2, 2, 3, -1])
CLASSES = tuple("abcdefg")


def one_hot(classes, height: float = 4.0) -> np.ndarray:
    return (height * np.eye(7)[classes] + 0.001 * np.arange(7)[::-1]).astype(np.float32)


def by_hand() -> tuple[Predictions, list[ClipLabel]]:
    """The student is right on 3 of 7, the teacher on 5; both agree on 4 of 8."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((2, 8, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    student, teacher = one_hot([0, 1, 1, 0, 2, 0, 0, 4]), one_hot([0, 0, 1, 1, 2, 3, 0, 0], 2.0)
    clips = [ClipLabel(f"c{i}", f"v{i // 2}", float(i), i + 1.5, int(label), "val") for i, label in enumerate(LABELS)]
    return Predictions(student, vectors[0], teacher, vectors[1], LABELS), clips


@pytest.fixture
def results():
    found, clips = by_hand()
    student = StudentFacts("xs", {"deployed": 250, "training": 300}, Sizes(900, 901), input_size=96)
    costs = MeasuredCosts(replace(COST, latency_ms=Latency(10.0, 12.0)), COST)
    text = np.eye(7, 3, dtype=np.float32)
    labels = LabelSet("x", "zero-shot", CLASSES, (), 100.0, {})
    identity = fake_identity(weights="openai", input_size=32)
    return assemble(found, clips, labels, text, identity, student, costs).as_dict()


def softmax(logits):
    shares = np.exp(logits.astype(float))
    return shares / shares.sum(1, keepdims=True)


def test_figures_of_both_models_and_of_their_comparison(results):
    found, _ = by_hand()
    teacher, student, compared = results["teacher"], results["student"], results["comparison"]
    assert student["top1"] == pytest.approx(3 / 7) and teacher["top1"] == pytest.approx(5 / 7)
    assert student["mean_class_accuracy"] == pytest.approx((0.5 + 0.5 + 0.5 + 0) / 4)
    assert teacher["mean_class_accuracy"] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert compared["accuracy_drop_points"] == pytest.approx(100 * 2 / 7)
    assert compared["agreement"] == pytest.approx(4 / 8)
    p, q = softmax(found.teacher_logits), softmax(found.logits)
    assert compared["kl_divergence"] == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-5)
    assert compared["embedding_cosine"] == pytest.approx((found.embeddings * found.teacher_embeddings).sum(1).mean())
    nearest = (found.embeddings @ np.eye(7, 3, dtype=np.float32).T).argmax(1)
    assert student["zero_shot_top1"] == pytest.approx((nearest == LABELS)[:7].mean())
    assert compared["compression"] == pytest.approx(1000 / 250) and compared["latency_ratio"] == pytest.approx(5.0)
    for side, right, logits in ((student, 3 / 7, found.logits), (teacher, 5 / 7, found.teacher_logits)):
        confident = softmax(logits).max(1)[:7].mean()  # all in one bin
        assert side["calibration_error"] == pytest.approx(abs(confident - right), rel=1e-4)


def test_teacher_facts_are_in_the_right_fields(results):
    teacher = results["teacher"]
    assert teacher["parameters"] == {"image": 1000, "total": 2000}
    assert teacher["bytes_on_disk"] == {"image": 4000, "total": 8000}
    assert (teacher["name"], teacher["weights"], teacher["head"], teacher["input_size"]) == (
        *("fake", "openai", "zero-shot", 32),
    )
    assert results["note"] is None and results["student"]["bytes_on_disk"] == {"image": 900, "total": 901}


def test_counts_confusions_and_classes(results):
    assert (results["num_clips"], results["num_videos"], results["num_labelled_clips"]) == (8, 4, 7)
    assert results["num_classes"] == 7 and results["chance"] == pytest.approx(1 / 7)
    assert [1, 0, 1] in results["confusion"]["student"] and [0, 1, 1] in results["confusion"]["student"]
    assert results["confusion"]["teacher"] == [[0, 0, 2], [1, 1, 2], [2, 2, 1], [2, 3, 1], [3, 0, 1]]
    first, *_, last = results["per_class"]
    assert (first["class"], first["clips"], first["top1"], first["teacher_top1"]) == ("a", 2, 0.5, 1.0)
    assert (last["class"], last["top1"], last["teacher_top1"]) == ("d", 0.0, 0.0)


def test_predictions_are_stored_under_their_own_names():
    found, clips = by_hand()
    with np.load(io.BytesIO(predictions_file(found, clips, CLASSES))) as file:
        kept = dict(file)
    for name in ("logits", "teacher_logits", "embeddings", "teacher_embeddings", "labels"):
        np.testing.assert_allclose(kept[name], getattr(found, name), atol=1e-3)
    assert kept["logits"].dtype == kept["teacher_logits"].dtype == np.float32
    assert kept["embeddings"].dtype == np.float16 and kept["labels"].dtype == np.int64
    assert kept["start_sec"].tolist() == [clip.start_sec for clip in clips]
    assert kept["end_sec"].tolist() == [clip.end_sec for clip in clips] and kept["video_uid"][7] == "v3"


def test_the_table_and_the_plot_give_each_model_its_own_figures(results):
    typed = EvaluationResults.from_dict(results)
    lines = {line.split("  ")[0]: line for line in console.comparison_table(typed).splitlines()}
    assert lines["top-1"].index("71.4 %") < lines["top-1"].index("42.9 %") < lines["top-1"].index("28.6 points lost")
    assert lines["parameters"].split() == ["parameters", "0.00", "M", "0.00", "M", "4.0x", "fewer"]
    assert lines["latency"].split() == ["latency", "10.0", "ms", "2.0", "ms", "5.0x", "faster"]
    assert lines["on disk"].endswith("4.4x smaller")
    teacher, student = (plots.point_of("x", model) for model in (typed.teacher, typed.student))
    assert teacher.costs == {plots.LATENCY: 10.0, plots.SIZE: 0.004, plots.PARAMETERS: 0.001}
    assert student.costs == {plots.LATENCY: 2.0, plots.SIZE: 0.0009, plots.PARAMETERS: 0.00025}
    assert (teacher.top1, student.top1) == (pytest.approx(5 / 7), pytest.approx(3 / 7))


def test_counts_of_who_is_right():
    found, _ = by_hand()
    assert choice.who_is_right(found) == {"both": 3, "teacher": 2, "student": 0, "neither": 2}


def test_recordings_are_weighted_by_their_clips_in_an_interval():
    """20 recordings of one clip, all wrong; 20 of nine clips, all right: 90 % of clips, 50 % of recordings."""
    values = np.concatenate([np.zeros(20), np.ones(180)])
    names = [f"a{i}" for i in range(20)] + [f"b{i // 9}" for i in range(180)]
    low, high = bootstrap_intervals.mean_interval(values, names)
    assert 0.7 < low < 0.9 < high < 0.99
    difference, interval = bootstrap_intervals.paired_difference(np.ones(200), values, names)
    assert difference == pytest.approx(0.1) and 0.01 < interval[0] < 0.1 < interval[1] < 0.3


def test_warm_up_rounds_are_not_timed(monkeypatch):
    """The first rounds take a second, the others a millisecond."""
    clock, turns = [0.0], []

    def call():
        turns.append(1)
        clock[0] += 1.0 if len(turns) <= 3 else 0.001

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    times = timing.measure_interleaved({"a": call}, rounds=5, warmup=3)
    assert len(turns) == 8 and times["a"] == pytest.approx({"p50_ms": 1.0, "p95_ms": 1.0})


def test_the_median_and_the_95th_percentile_are_not_swapped(monkeypatch):
    clock, steps = [0.0], iter([1, 1, 1, 1, 1, 1, 1, 1, 9, 9])

    def call():
        clock[0] += next(steps) / 1000

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    times = timing.measure_interleaved({"a": call}, rounds=10, warmup=0)
    assert times["a"]["p50_ms"] == pytest.approx(1.0) and times["a"]["p95_ms"] == pytest.approx(9.0)


# -- compare -----------------------------------------------------------------------------------------------------------


def test_checkpoints_are_evaluated_with_the_settings_of_the_comparison(place, tmp_path, monkeypatch):
    recorded = []

    class DoneError(Exception):
        pass

    def evaluate(config):
        recorded.append(config)
        raise DoneError

    monkeypatch.setattr(evaluating, "evaluate", evaluate)
    checkpoint = place / "out" / "best_student.pt"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "best_student.pt").write_bytes(checkpoint.read_bytes())
    options = {"label_set": "tiny", "split": "train", "batch_size": 7, "num_workers": 3, "device": "cpu", "seed": 5}
    config = CompareConfig((checkpoint, tmp_path / "b" / "best_student.pt"), tmp_path / "o", place / "cache", **options)
    with pytest.raises(DoneError):
        comparing.compare(config)
    (got,) = recorded
    assert {name: getattr(got, name) for name in options} == options
    assert (got.cache_dir, got.student_checkpoint) == (place / "cache", checkpoint)
    assert got.output_dir.parent == tmp_path / "o"


def test_rows_hold_the_figures_of_their_students(results):
    other = json.loads(json.dumps(results))
    other["student"]["top1"], other["student"]["parameters"]["deployed"] = 0.25, 500
    other["student"]["latency_ms"] = {"p50_ms": 21.0, "p95_ms": 22.0}
    typed = {"one": EvaluationResults.from_dict(results), "two": EvaluationResults.from_dict(other)}
    entries = [comparison.Entry(name, f"{name}/", entry, None) for name, entry in typed.items()]
    teacher, one, two = (row.as_dict() for row in comparison.compare(entries).rows)
    assert (teacher["parameters"], teacher["bytes_on_disk"], teacher["latency_p50_ms"]) == (1000, 4000, 10.0)
    assert (one["top1"], one["parameters"], one["bytes_on_disk"]) == (pytest.approx(3 / 7), 250, 900)
    assert (two["top1"], two["parameters"]) == (0.25, 500)
    assert (two["latency_p50_ms"], two["latency_p95_ms"], two["throughput_per_s"], two["macs"]) == (
        21.0,
        22.0,
        11.0,
        13,
    )
    assert two["peak_memory_bytes"] == 17 and two["source"] == "two/" and two["role"] == "student"
    if one["top1_low"] is not None:
        assert one["top1_low"] < one["top1"] < one["top1_high"]


def test_a_difference_is_the_later_student_minus_the_first():
    found, clips = by_hand()
    worse = replace(found, logits=one_hot([6] * 8))
    kept = []
    for predictions in (found, worse):
        with np.load(io.BytesIO(predictions_file(predictions, clips, CLASSES))) as file:
            kept.append(StoredPredictions(*(file[field.name] for field in fields(StoredPredictions))))
    entries = [comparison.Entry(str(i), "", None, arrays) for i, arrays in enumerate(kept)]
    assert comparison._paired(entries[1], entries[0]).difference_points == pytest.approx(-100 * 3 / 7)


# -- export ------------------------------------------------------------------------------------------------------------


class Export:
    """An export that writes no format; records the arguments of its parts in `recorded`."""

    def __init__(self, place: Path, folder: Path, monkeypatch):
        self._place, self._folder, self.recorded, real = place, folder, {}, exporting._predicted
        monkeypatch.setattr(exporting, "check_runtimes", lambda formats: self.recorded.update(formats=tuple(formats)))
        monkeypatch.setattr(exporting, "_write_formats", self._write_formats)
        monkeypatch.setattr(exporting, "_predicted", lambda student, clips: self._clips(clips) or real(student, clips))
        monkeypatch.setattr(exporting, "publish", lambda *arguments: self.recorded.update(published=arguments))
        monkeypatch.setattr(exporting, "check_folder", lambda *arguments: self.recorded.update(checked=arguments))

    def _clips(self, clips) -> None:
        self.recorded["clips"] = [(clip.clip_id, clip.split) for clip in clips.clips]

    def _write_formats(self, formats, inputs, expected, clips):
        self.recorded.update(written=tuple(formats), calibration=inputs.calibration_frames)
        files = {f"frames.{name}.onnx": b"" for name in formats}
        return files, {name: parity.measure_parity(expected[0], *expected) for name in formats}

    def __call__(self, **changes) -> dict:
        usual = {"label_set": "tiny", "formats": "fp32"}
        checkpoint = self._place / "out" / "best_student.pt"
        exporting.export(ExportConfig(self._place / "cache", checkpoint, self._folder / "x", **(usual | changes)))
        return self.recorded


@pytest.mark.integration
def test_an_export_uses_the_clips_frames_and_formats_of_its_settings(place, tmp_path, monkeypatch):
    export = Export(place, tmp_path, monkeypatch)
    recorded = dict(export(formats="fp16,int8", num_samples=3, calibration_frames=5, overwrite=True))
    assert recorded["formats"] == recorded["written"] == ("fp16", "int8")
    assert len(recorded["clips"]) == 3 and {split for _, split in recorded["clips"]} == {"val"}
    assert recorded["calibration"].shape == (5, 3, 128, 128) and recorded["calibration"].dtype == np.uint8
    folder, files, overwrite = recorded["published"]
    assert folder == (tmp_path / "x").resolve() and overwrite is True and recorded["checked"] == (folder, True)
    assert {"model.safetensors", "student_parts.safetensors", "config.json", "README.md"} <= set(files)
    assert b"were calibrated on frames of the split `train`" in files["README.md"].replace(b"\n", b" ")
    other = dict(export(num_samples=3, seed=1, split="train"))
    assert {split for _, split in other["clips"]} == {"train"} and other["published"][2] is False
    assert other["checked"] == (folder, False)
    seeds = [tuple(export(num_samples=3, seed=seed)["clips"]) for seed in range(4)]
    assert len(set(seeds)) >= 2
    assert len(export(label_set="other")["clips"]) == 4 and b"`other`" in export.recorded["published"][1]["README.md"]


def test_export_facts_are_those_of_the_cache_and_the_student():
    identity = make_cache_identity(interpolation="bilinear", resize_mode="squash")
    identity = replace(identity, canonical_short_side=300, fps=7.5, jpeg_quality=97)
    student, teacher = student_config("xs", 16, 1, 192), CheckpointTeacher("t", "0", 16)
    meta = Checkpoint(student, ["a"], teacher, frames_per_clip=6, model={}, label_set="l")
    export_facts = facts_of(meta, identity, 3.5)
    facts = export_facts.as_dict()
    made = facts["preprocessing"]
    assert (made["resolution"], made["crop"], made["interpolation"], made["clip_seconds"]) == (
        *(192, "none", "bilinear", 3.5),
    )
    assert made["canonical_short_side"] == 300 and facts["frames_per_clip"] == 6 and facts["classes"] == ["a"]
    assert (made["frames_per_second"], made["jpeg_quality"]) == (7.5, 97)
    usual = facts_of(meta, make_cache_identity(), 3.5).as_dict()["preprocessing"]
    assert (usual["crop"], usual["interpolation"]) == ("center square", "bicubic")
    config = timm_config(export_facts, {"num_features": 9}, [0.1] * 3, [0.2] * 3)
    assert (config["architecture"], config["num_features"]) == ("mobilevit_xs", 9)
    pretrained = config["pretrained_cfg"]
    assert pretrained["input_size"] == [3, 192, 192] and pretrained["mean"] == [0.1] * 3 != pretrained["std"]
    assert pretrained["crop_mode"] == "squash" and pretrained["interpolation"] == "bilinear"


def test_the_typical_clip_has_the_median_duration_of_training_clips():
    clips = [ClipLabel(str(i), "v", 0.0, sec, 0, split) for i, (sec, split) in enumerate(
        [(2.0, "train"), (3.0, "train"), (40.0, "train"), (90.0, "val"), (91.0, "val"), (92.0, "val")])]  # fmt: skip
    labels = LabelSet("x", "none", ("a",), (), None, {}, tuple(clips))
    assert clip_seconds(labels) == 3.0
    assert clip_seconds(replace(labels, clips=tuple(clips[3:]))) == 91.0


def test_parity_compares_the_export_with_the_trained_student():
    found, _ = by_hand()
    exported = replace(found, logits=found.logits + 0.5, embeddings=found.teacher_embeddings)
    figures = parity.measure_parity(exported, found, replace(found, logits=found.logits - 0.25))
    assert figures.max_difference == pytest.approx(0.5) and figures.rounding == pytest.approx(0.25)
    assert figures.cosine == pytest.approx((found.embeddings * found.teacher_embeddings).sum(1).mean())
    assert (figures.clips, figures.agreement, figures.top1) == (8, 1.0, pytest.approx(3 / 7))


def test_unmeasured_costs_are_none():
    assert set(vars(NOT_MEASURED).values()) == {None}
