"""Classes without training, selection or evaluation clips, evaluation on fewer classes, and undefined metrics."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher
from embedonce.pipeline.clips.inference import Predictions, among_classes
from embedonce.pipeline.evaluation.held_out import held_out
from embedonce.pipeline.splits.class_coverage import missing_classes, selection_of
from embedonce.pipeline.training import recipe
from embedonce.pipeline.training.settings import TrainConfig
from tests.commands.test_cli import HERE, SMALL, call, error_of
from tests.support.tiny_cache import CLASSES, make_tiny_cache

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

NAMES = ("red", "green", "blue", "unheard-of")


def relabeled(cache: Path, name: str, classes: tuple[str, ...], keep=lambda clip: True) -> None:
    """A label set for a tiny cache with some of its clips, by the names of their classes."""
    reader = open_reader(cache)
    writer, labels = open_writer(cache, reader.identity), reader.label_set("tiny")
    writer.create_label_set(LabelSet(name, "fitted", classes, (), None, {}), None)
    names = [labels.classes[clip.label] for clip in labels.clips]
    clips = [
        dataclasses.replace(c, label=classes.index(n)) for c, n in zip(labels.clips, names, strict=True) if n in classes
    ]
    writer.publish_clips(name, 0, [clip for clip in clips if keep(clip)])
    columns = [labels.classes.index(n) if n in labels.classes else 0 for n in classes]
    for unit, record in reader.records.items():
        logits = np.ascontiguousarray(reader.all_logits("tiny", unit)[..., columns])
        writer.commit_logits(name, unit, record.keys, logits, {})
    writer.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a tiny cache and a student trained on its three classes."""
    root = tmp_path_factory.mktemp("coverage")
    make_tiny_cache(root / "c", 6)
    call("train-student", "--cache-dir", root / "c", "--output-dir", root / "out", *SMALL, *HERE)
    return root


def test_training_and_evaluation_name_classes_without_clips(tmp_path, caplog):
    cache = make_tiny_cache(tmp_path / "c", 6)
    relabeled(cache, "some", NAMES, lambda clip: clip.split == "train" or NAMES[clip.label] == "red")
    chosen = ["--cache-dir", cache, "--output-dir", tmp_path / "out", "--label-set", "some", *HERE]
    call("train-student", *chosen, *SMALL)
    line = (
        "classes of label set 'some' with no training clip: unheard-of; with no selection clip: unheard-of; with no "
        "validation clip: green, blue, unheard-of"
    )
    assert line in caplog.messages
    caplog.clear()
    call("evaluate", *chosen, "--student-checkpoint", tmp_path / "out/best_student.pt")
    output = "with no training clip: unheard-of; with no validation clip: green, blue, unheard-of"
    assert f"classes of label set 'some' {output}" in caplog.messages


def test_no_message_if_all_classes_have_clips_or_no_clip_has_a_label():
    labels = LabelSet("x", "none", ("a", "b"), (), None, {})
    clips = [ClipLabel(str(label), "v", 0.0, 1.0, label, "train") for label in (0, 1)]
    assert missing_classes(labels, {"training": clips, "selection": clips}) is None
    bare = [dataclasses.replace(clip, label=-1) for clip in clips]
    assert missing_classes(labels, {"training": bare, "validation": []}) is None
    many = LabelSet("x", "none", tuple("abcdefgh"), (), None, {})
    assert missing_classes(many, {"test": clips[:1]}).endswith("no test clip: b, c, d, e, f and 2 more")


def test_training_and_the_fitted_head_hold_out_the_same_videos(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "c", 12))
    labels = reader.label_set()
    train_set, selection_set = recipe.datasets(TrainConfig(tmp_path / "c", tmp_path).for_device("cpu"), reader, labels)
    kept = selection_of(reader, [clip for clip in labels.clips if clip.split == "train"])
    assert {clip.video_uid for clip in selection_set.clips} == kept and len(kept) == 1
    assert kept.isdisjoint(clip.video_uid for clip in train_set.clips)


def test_clips_without_a_frame_are_ignored_by_selection(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "c", 6))
    clips = [clip for clip in reader.label_set().clips if clip.split == "train"]
    empty = [dataclasses.replace(clip, video_uid=f"absent-{i}") for i, clip in enumerate(clips)]
    assert selection_of(reader, clips + empty) == selection_of(reader, clips) != frozenset()


# -- fewer classes than the student knows ----------------------------------------------------------------------------


def test_a_student_is_evaluated_by_class_name_on_some_of_its_classes(trained, tmp_path, caplog):
    if "fewer" not in open_reader(trained / "c").label_sets():
        relabeled(trained / "c", "fewer", ("blue", "red"))
    arguments = ["--cache-dir", trained / "c", "--student-checkpoint", trained / "out/best_student.pt", *HERE]
    output = call("evaluate", *arguments, "--label-set", "fewer", "--output-dir", tmp_path)
    call("evaluate", *arguments, "--label-set", "tiny", "--output-dir", tmp_path / "all")
    results = json.loads((tmp_path / "evaluation_results.json").read_text())
    assert results["classes"] == ["blue", "red"] and results["num_clips"] == 4
    remark = "the student has 3 classes and this label set 2: student and teacher choose among those 2"
    assert remark in results["note"] and remark in output and remark in caplog.messages
    fewer, everything = (np.load(folder / "predictions.npz") for folder in (tmp_path, tmp_path / "all"))
    of_all = {
        (uid, start): row
        for uid, start, row in zip(
            *(everything[name].tolist() for name in ("video_uid", "start_sec")), everything["logits"], strict=True
        )
    }
    for uid, start, row, label in zip(*(fewer[n].tolist() for n in ("video_uid", "start_sec")), fewer["logits"],
                                      fewer["labels"], strict=True):  # fmt: skip
        np.testing.assert_allclose(row, of_all[uid, start][[2, 0]], atol=1e-4)
        assert label in (0, 1)


def test_classes_unknown_to_the_student_are_named(trained):
    if "more" not in open_reader(trained / "c").label_sets():
        relabeled(trained / "c", "more", NAMES)
    output = error_of("evaluate", "--cache-dir", trained / "c", "--label-set", "more", "--output-dir", trained / "o",
                    "--student-checkpoint", trained / "out/best_student.pt", *HERE, code=4)  # fmt: skip
    assert "knows 3 classes" in output and "has classes that it does not know (unheard-of)" in output


def test_logits_are_selected_by_class_name():
    logits = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = Predictions(logits, np.ones((2, 4)), logits, np.ones((2, 4)), np.zeros(2, np.int64))
    assert among_classes(found, CLASSES, ("blue", "red")).logits.tolist() == [[2, 0], [5, 3]]
    with pytest.raises(KeyError):
        among_classes(found, CLASSES, ("mauve",))


# -- undefined metrics ----------------------------------------------------------------------------------------


def test_top5_is_empty_with_at_most_five_classes(trained, tmp_path):
    output = call("evaluate", "--cache-dir", trained / "c", "--label-set", "tiny", "--output-dir", tmp_path,
                "--student-checkpoint", trained / "out/best_student.pt", *HERE)  # fmt: skip
    results = json.loads((tmp_path / "evaluation_results.json").read_text())
    sides = [results[side]["top5"] for side in ("teacher", "student")]
    assert sides == [None, None] and results["comparison"]["agreement_top5"] is None
    assert results["student"]["top1"] is not None and results["comparison"]["agreement"] is not None
    (line,) = [line for line in output.splitlines() if line.startswith("top-5")]
    assert line.split() == ["top-5", "-", "-"]


@pytest.mark.parametrize(("classes", "is_blank"), [(5, True), (6, False)])
def test_top5_has_a_value_from_six_classes_on(classes, is_blank):
    from embedonce.pipeline.evaluation.results import _accuracies, _comparison

    generator = np.random.default_rng(0)
    logits, labels = generator.standard_normal((20, classes)).astype(np.float32), np.arange(20) % classes
    found = Predictions(logits, np.ones((20, 4)), logits, np.ones((20, 4)), labels)
    assert (_accuracies(logits, labels, labels).top5 is None) == is_blank
    teacher = SimpleNamespace(latency_ms=None, parameters=SimpleNamespace(image=1))
    student = SimpleNamespace(latency_ms=None, parameters={"deployed": 1})
    assert (_comparison(found, teacher, student, labels).agreement_top5 is None) == is_blank


def test_a_student_is_not_evaluated_on_training_files_from_another_cache(tmp_path):
    from tests.extraction.test_runner import make_source, run
    from tests.support.fake_teacher import write_zero_shot
    from tests.support.videos import write_video

    for name in ("a", "v1", "v2"):
        write_video(tmp_path / f"{name}.mp4", 30)
    source = make_source(tmp_path, ["a", "v1", "v2"])
    _, reader, _ = run(source, tmp_path / "c")
    writer = open_writer(tmp_path / "c", reader.identity)
    labels = write_zero_shot(writer, source)
    writer.close()
    student, teacher = student_config("tiny", 16, 2, 128), CheckpointTeacher("t", "0", 16)
    meta = Checkpoint(student, ["a", "b"], teacher, frames_per_clip=1, model={}, label_set="zero-shot")
    from embedonce.pipeline.evaluation.settings import EvaluateConfig

    config, labels = EvaluateConfig(tmp_path / "c", tmp_path, tmp_path), reader.label_set(labels.name)
    assert len(held_out(config, meta, reader, labels)) == 2
    (seen,) = {s.fingerprint for r in reader.records.values() for s in r.segments if s.video_uid == "v1"}
    kept = held_out(config, dataclasses.replace(meta, trained_on=[seen]), reader, labels)
    assert [clip.video_uid for clip in kept.clips] == ["v2"]
