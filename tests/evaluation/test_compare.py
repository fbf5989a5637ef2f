"""Comparisons of several evaluations, made up from predictions: no student is trained here."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import InputError, ResultsError
from embedonce.pipeline.evaluation import comparison
from embedonce.pipeline.evaluation.compare import compare, display_names
from embedonce.pipeline.evaluation.comparison import Entry
from embedonce.pipeline.evaluation.predictions import read_predictions
from embedonce.pipeline.evaluation.predictions_file import predictions_file
from embedonce.pipeline.evaluation.results import MeasuredCosts, StudentFacts, assemble
from embedonce.pipeline.evaluation.settings import CompareConfig
from embedonce.pipeline.metrics.bootstrap_intervals import paired_difference
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import (
    PREDICTIONS_NAME,
    RESULTS_NAME,
    SCHEMA,
    Costs,
    EvaluationResults,
    Latency,
    Sizes,
)
from embedonce.pipeline.naming.uids import part_uid
from embedonce.pipeline.reporting.comparison_rows import ComparisonTable
from embedonce.pipeline.reporting.console import comparison_table, interval_remark, students_table
from embedonce.pipeline.reporting.plots import LATENCY, SIZE, Point, evaluation_plot, trade_off
from tests.commands.test_cli import ROOT, call, error_of
from tests.support.fake_teacher import fake_identity

CLASSES = ("cut", "stir", "pour", "wash", "open", "close")
UUIDS = [f"{i:08x}-0000-0000-0000-000000000000" for i in range(20)]


def evaluation(folder: Path, seed: int = 0, right: float = 0.7, **changes) -> dict:
    """Write an evaluation on 60 clips of 15 videos; changes replace results, `model__key` those of a model."""
    truth, noise = np.random.default_rng(0), np.random.default_rng(1 + seed)
    labels = truth.integers(0, 6, 60)
    teacher = 2 * np.eye(6)[labels] + truth.standard_normal((60, 6))
    predicted = np.where(noise.random(60) < right, labels, noise.integers(0, 6, 60))
    logits = 3 * np.eye(6)[predicted] + 0.3 * noise.standard_normal((60, 6))
    vectors = noise.standard_normal((2, 60, 8)).astype(np.float32)
    found = Predictions(logits.astype(np.float32), vectors[0], teacher.astype(np.float32), vectors[1], labels)
    clips = [ClipLabel(f"c{i}", f"v{i // 4}", i % 4, i % 4 + 1.0, int(labels[i]), "val") for i in range(60)]
    parameters = {"deployed": 480_926 * (1 + seed), "training": 500_000 * (1 + seed)}
    student = StudentFacts("tiny", parameters, Sizes(1_900_000, 1_900_000), input_size=128)
    costs = MeasuredCosts(NOT_MEASURED, replace(NOT_MEASURED, latency_ms=Latency(6.0, 7.0)))
    label_set = LabelSet("x", "fitted", CLASSES, (), None, {})
    results = assemble(found, clips, label_set, None, fake_identity(), student, costs).as_dict()
    results["environment"] = {"machine": "x86_64"}
    for name, value in changes.items():
        model, _, key = name.rpartition("__")
        (results[model] if model else results)[key] = value
    folder.mkdir(parents=True)
    (folder / RESULTS_NAME).write_text(json.dumps(results))
    (folder / PREDICTIONS_NAME).write_bytes(predictions_file(found, clips, CLASSES))
    return results


NOT_MEASURED = Costs(None, None, None, None)


def run(*folders: Path) -> ComparisonTable:
    output = folders[0].parent / "out"
    return compare(CompareConfig(folders, output, folders[0].parent / "cache"))


def compared(*folders: Path) -> ComparisonTable:
    """The comparison of evaluations, without its files."""
    found = [(folder, read_results(folder)) for folder in folders]
    return comparison.compare(
        [Entry(f.name, str(f), results, read_predictions(f / PREDICTIONS_NAME, results)) for f, results in found]
    )


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / PREDICTIONS_NAME, allow_pickle=False) as file:
        return dict(file)


# -- output --------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_comparison_from_the_command_line(tmp_path):
    for seed, name in enumerate(("first", "second", "third")):
        evaluation(tmp_path / name, seed, 0.6 + 0.15 * seed)
    out = tmp_path / "out"
    output = call(
        "compare", tmp_path / "first", tmp_path / "second" / RESULTS_NAME, tmp_path / "third", "--output_dir", out
    )
    lines = output.splitlines()
    assert lines[0].startswith(
        "60 val clips of 15 recordings, 6 classes, chance 16.7 %, majority class 23.3 % (random teacher"
    )
    assert [line.split()[0] for line in lines[3:7]] == ["teacher", "first", "second", "third"]
    assert "each timed in its own run" in output and max(map(len, lines[1:-2])) <= 110
    found = json.loads((out / "comparison.json").read_text())
    rows = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["fake", "first", "second", "third"]
    assert [float(row["top1"]) for row in rows] == [row["top1"] for row in found["rows"]]
    predictions = [arrays(tmp_path / name) for name in ("second", "first")]
    right = [file["logits"].argmax(1) == file["labels"] for file in predictions]
    points, (low, high) = paired_difference(*right, [f"v{i // 4}" for i in range(60)])
    second = found["rows"][2]
    assert second["difference_points"] == pytest.approx(100 * points)
    assert [second["difference_low"], second["difference_high"]] == pytest.approx([100 * low, 100 * high])
    assert f"second  {100 * points:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})" in output
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    saved = yaml.safe_load((out / "compare_config.yaml").read_text())
    assert saved["evaluations"][0] == str(tmp_path / "first")


def test_evaluations_are_paired_by_clip_whatever_the_order(tmp_path):
    evaluation(tmp_path / "a")
    for name in "bcd":
        evaluation(tmp_path / name, 1)
    order = np.random.default_rng(0).permutation(60)
    for name, change in (("b", lambda x: x[order] if len(x) == 60 else x), ("c", lambda x: x)):
        values = {key: change(value) for key, value in arrays(tmp_path / name).items()}
        if name == "c":
            values["start_sec"] = values["start_sec"] + 0.5
        np.savez(tmp_path / name / PREDICTIONS_NAME, **values)
    (tmp_path / "d" / PREDICTIONS_NAME).unlink()
    table = compared(*(tmp_path / name for name in "abcd"))
    b, c, d = table.rows[2:]
    assert b.difference_points == pytest.approx(100 * (b.top1 - table.rows[1].top1))
    assert (c.difference_points, c.not_paired) == (None, "evaluated on other clips")
    assert (d.difference_points, d.not_paired) == (None, "predictions.npz is missing")
    assert "c  - (evaluated on other clips)" in students_table(table)


def test_remarks_on_latency_and_on_the_teacher(tmp_path):
    evaluation(tmp_path / "a")
    evaluation(tmp_path / "b", 1, teacher__top1=0.5, environment={"machine": "arm64"})
    latency, teacher = compared(tmp_path / "a", tmp_path / "b").remarks
    assert latency.endswith("compare runs of one idle machine, which these are not")
    assert "50.0 %" in teacher and "the row shows that of the first evaluation" in teacher


def test_a_note_on_one_student_is_not_taken_for_one_on_all(tmp_path):
    for name, note in (("a", None), ("b", "in another space"), ("c", "in another space")):
        evaluation(tmp_path / name, note=note)
    table = compared(tmp_path / "a", tmp_path / "b")
    assert table.note is None and table.remarks[1:] == ["b: in another space"]
    assert compared(tmp_path / "b", tmp_path / "a").note is None
    same = compared(tmp_path / "b", tmp_path / "c")
    assert same.note == "in another space" and len(same.remarks) == 1


def test_display_names_are_the_path_parts_that_differ(tmp_path):
    runs = [tmp_path / run / "tiny" / "best_student.pt" for run in ("k0", "k 8")]
    paths = (*runs, tmp_path / "xs", tmp_path / "other" / "last.pt", tmp_path / "k0" / RESULTS_NAME)
    (tmp_path / "xs").mkdir()
    assert list(display_names(paths).values()) == ["k0-tiny", "k_8-tiny", "xs", "last", "k0"]


def test_parts_of_one_recording_count_once():
    labels = np.arange(4) % 2
    found = Predictions(np.eye(2)[labels], np.ones((4, 2)), np.eye(2)[labels], np.ones((4, 2)), labels)
    clips = [ClipLabel(str(i), part_uid(UUIDS[0], UUIDS[1 + i]), 0.0, 1.0, int(labels[i]), "val") for i in range(4)]
    student = StudentFacts("x", {"deployed": 1}, Sizes(1, 1), 128)
    label_set = LabelSet("x", "none", ("a", "b"), (), None, {})
    costs = MeasuredCosts(NOT_MEASURED, NOT_MEASURED)
    results = assemble(found, clips, label_set, np.eye(2), fake_identity(), student, costs)
    assert results.num_videos == 1 and results.student.top1_interval is None
    assert results.student.zero_shot_top1 == 0.5 and results.confusion.student == [(0, 0, 2), (1, 1, 2)]


@pytest.mark.integration
def test_plots_and_tables_work_with_missing_figures(tmp_path):
    results = evaluation(tmp_path / "a")
    results["teacher"]["name"] = "$\\frac"  # must not be parsed as a formula
    for model in ("teacher", "student"):
        results[model] |= {"top1": None, "top1_interval": None}
    results = EvaluationResults.from_dict(results)
    assert evaluation_plot(results).startswith(b"\x89PNG")
    assert comparison_table(results).splitlines()[3].split()[:3] == ["top-1", "-", "-"]
    costs = {LATENCY: None, SIZE: 0.0}
    students = [Point(f"s{i}", 0.5, (0.6, 0.7), costs | {SIZE: float(i)}) for i in range(9)]
    assert trade_off(Point("t", 1.0, None, costs), students, (LATENCY, SIZE), results).startswith(b"\x89PNG")


# -- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 2, "classes": ["a", "b"]}, r"they differ in the classes \(6: cut, stir, pour, … / 2: a, b\)"),
        ({"classes": [*CLASSES[:-1], "shut"]}, "class 5 is 'close' in one and 'shut' in the other"),
        ({"teacher__name": "ViT"}, r"they differ in the teacher \(fake \(.*\) / ViT \(weights random, fitted head\)\)"),
        ({"teacher__head": "zero-shot"}, "they differ in the teacher"),
        ({"split": "test"}, r"they differ in the split \(val / test\)"),
        ({"num_clips": 61}, "they differ in the number of clips"),
    ],
)
def test_evaluations_that_are_not_comparable_are_refused(tmp_path, changes, message):
    evaluation(tmp_path / "a")
    evaluation(tmp_path / "b", 1, **changes)
    (tmp_path / "b" / PREDICTIONS_NAME).unlink()
    with pytest.raises(ResultsError, match=rf"/a and .*/b cannot be compared: {message}"):
        run(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "it has no schema_version"),
        ('{"schema_version": 2}', "of schema version 2, and this program reads 1; evaluate again"),
        ('{"schema_version": 1}', "is not a complete evaluation: it has no note"),
        ('{"schema_version": NaN}', "NaN is not a number"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_other_files_are_refused_as_evaluations(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ResultsError, match=message):
        read_results(tmp_path / "x.json")


def test_every_key_and_type_is_checked(tmp_path):
    results = evaluation(tmp_path / "a")
    assert find_mismatch(results | {"num_clips": True}, SCHEMA) == "num_clips is 'True', not a whole number"
    assert find_mismatch(results | {"chance": 1e400}, SCHEMA) == "chance is 'inf', not a number"
    assert find_mismatch(results | {"per_class": {}}, SCHEMA) == "per_class is '{}', not a list"
    assert find_mismatch(results | {"environment": []}, SCHEMA) == "environment is '[]', not an object"
    broken = results | {"confusion": {"teacher": [], "student": [[0, 1, 2], [0, 1]]}}
    assert find_mismatch(broken, SCHEMA) == "confusion.student[1] has 2 entries, not 3"
    del results["student"]["top1"]
    assert find_mismatch(results, SCHEMA) == "it has no student.top1"


def test_predictions_of_another_evaluation_are_refused(tmp_path):
    evaluation(tmp_path / "a")
    evaluation(tmp_path / "b", 1)
    good = (tmp_path / "b" / PREDICTIONS_NAME).read_bytes()
    (tmp_path / "b" / PREDICTIONS_NAME).write_bytes((tmp_path / "a" / PREDICTIONS_NAME).read_bytes())
    with pytest.raises(ResultsError, match=r"b/predictions.npz is not from the evaluation in the same folder"):
        run(tmp_path / "a", tmp_path / "b")
    for bad in (good[:500], b"", b"no archive"):
        (tmp_path / "b" / PREDICTIONS_NAME).write_bytes(bad)
        with pytest.raises(ResultsError, match=r"b/predictions.npz is damaged or holds no predictions"):
            run(tmp_path / "a", tmp_path / "b")


def test_usage_errors_are_one_sentence(tmp_path):
    evaluation(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    before = set(tmp_path.rglob("*"))
    out = ["--output-dir", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
    a, nowhere = tmp_path / "a", tmp_path / "nowhere"
    assert "at least two evaluations or checkpoints, and 0 were named" in error_of("compare", *out)
    assert "and 1 was named" in error_of("compare", a, *out)
    assert "are the same; name each evaluation once" in error_of("compare", a, a / RESULTS_NAME, *out)
    assert f"there is no {nowhere}; create it with" in error_of("compare", a, nowhere, *out)
    assert "there is no" in error_of("compare", a, tmp_path / "empty", *out)
    assert "no checkpoint at" in error_of("compare", a, f"{nowhere}.pt", *out, code=4)
    output = error_of("compare", a, a / PREDICTIONS_NAME, *out, code=4)
    assert "is not an evaluation: it cannot be read as JSON" in output
    assert "--batch-size must be greater than 0" in error_of("compare", a, a, "--batch-size", "0", *out)
    assert set(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match="at least two"):
        run(a)


def test_a_checkpoint_is_not_evaluated_on_another_split(tmp_path):
    evaluation(tmp_path / "a")
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(ResultsError, match=r"a was evaluated on the val split, and .*x\.pt would be evaluated on test"):
        compare(CompareConfig((tmp_path / "a", tmp_path / "x.pt"), tmp_path / "out", tmp_path, split="test"))


@pytest.mark.integration
def test_comparing_loads_no_torch(tmp_path):
    for seed, name in enumerate("ab"):
        evaluation(tmp_path / name, seed)
    code = "import sys, cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    arguments = ["compare", tmp_path / "a", tmp_path / "b", "--output-dir", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "out" / "comparison.json").exists()


# -- documentation ----------------------------------------------------------------------------------------------------


def test_every_key_of_the_results_is_documented():
    text = (ROOT / "docs" / "evaluation.md").read_text()

    def keys(form) -> set[str]:
        if isinstance(form, dict):
            return {name for name in form if name is not ...}.union(*map(keys, form.values()))
        if isinstance(form, (list, tuple)):
            return set().union(*map(keys, form))
        return keys(form.form) if hasattr(form, "form") else set()

    assert not [name for name in sorted(keys(SCHEMA)) if f"`{name}`" not in text]


def test_accuracy_drop_and_divergence_of_a_poor_student(tmp_path):
    results = evaluation(tmp_path / "poor", right=0.3)
    found = arrays(tmp_path / "poor")
    right, teacher = ((found[name].argmax(1) == found["labels"]).mean() for name in ("logits", "teacher_logits"))
    low, high = results["comparison"]["accuracy_drop_interval"]
    assert results["comparison"]["accuracy_drop_points"] == pytest.approx(100 * (teacher - right))
    assert teacher > right + 0.1 and 0 < low < 100 * (teacher - right) < high
    shares = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (found["teacher_logits"], found["logits"])]
    both_ways = [(p * np.log(p / q)).sum(1).mean() for p, q in (shares, shares[::-1])]
    assert results["comparison"]["kl_divergence"] == pytest.approx(both_ways[0], rel=1e-4)
    assert abs(both_ways[0] - both_ways[1]) > 0.01


def test_latencies_of_different_runtimes_get_a_remark(tmp_path):
    for name, runtime in (("a", "torch"), ("b", "onnx")):
        evaluation(tmp_path / name, environment={"machine": "x86_64", "runtime": runtime})
    assert any("which these are not" in remark for remark in compared(tmp_path / "a", tmp_path / "b").remarks)


@pytest.mark.integration
def test_tables_explain_their_intervals(tmp_path):
    """15 recordings: rough ones; fewer than six: none, and why; so does the table of several students."""
    results = EvaluationResults.from_dict(evaluation(tmp_path / "a"))
    assert "95 % interval over recordings; rough with only 15: 91" in comparison_table(results)
    evaluation(tmp_path / "b", 1)
    assert "rough with only 15" in students_table(run(tmp_path / "a", tmp_path / "b"))
    results = replace(
        results,
        teacher=replace(results.teacher, top1_interval=None),
        student=replace(results.student, top1_interval=None),
        comparison=replace(results.comparison, agreement_interval=None),
    )
    assert "no 95 % intervals: recordings do not differ" in comparison_table(results)
    assert comparison_table(replace(results, num_videos=5)).count("5 recordings are too few") == 1
    assert "rough" not in interval_remark(True, 21) and "in brackets" in interval_remark(True, 21)


def test_five_recordings_have_no_intervals(tmp_path):
    """Percentile bootstraps gave "83.3 % (83.3 to 83.3)"."""
    generator = np.random.default_rng(0)
    labels, vectors = generator.integers(0, 6, 30), generator.standard_normal((30, 8)).astype(np.float32)
    logits = np.eye(6)[np.where(np.arange(30) % 6 == 0, (labels + 1) % 6, labels)] * 3
    found = Predictions(logits, vectors, logits, vectors, labels)
    clips = [ClipLabel(f"c{i}", f"v{i // 6}", 0.0, 1.0, int(label), "val") for i, label in enumerate(labels)]
    student = StudentFacts("tiny", {"deployed": 1, "training": 1}, Sizes(1, 1), input_size=128)
    labels = LabelSet("x", "fitted", CLASSES, (), None, {})
    costs = MeasuredCosts(NOT_MEASURED, NOT_MEASURED)
    results = assemble(found, clips, labels, None, fake_identity(), student, costs)
    assert results.student.top1 == pytest.approx(25 / 30) and results.num_videos == 5
    intervals = [model.top1_interval for model in (results.teacher, results.student)]
    intervals += [results.comparison.accuracy_drop_interval, results.comparison.agreement_interval]
    assert intervals == [None] * 4
    assert "(83.3" not in comparison_table(results) and "5 recordings are too few" in comparison_table(results)
