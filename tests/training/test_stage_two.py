"""Datasets deliver what the cache holds; training learns, resumes exactly and reports what it leaves out."""

import csv
import dataclasses
import itertools
import json
import os
import pickle

import numpy as np
import pytest
import torch

from embedonce.cache import commit
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.losses.registry import loss_settings
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling, choose_frames, choose_view, epoch_order
from embedonce.pipeline.errors import CheckpointError, InputError, PipelineError
from embedonce.pipeline.evaluation.compare import compare
from embedonce.pipeline.evaluation.costs import TimedModel
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME, SCHEMA
from embedonce.pipeline.reporting.console import comparison_table
from embedonce.pipeline.training import run_files
from embedonce.pipeline.training.recipe import loss_settings_for, lr_factor
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import train
from tests.support.tiny_cache import CLASSES, make_tiny_cache

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache")


def dataset(root, **changes) -> ClipDataset:
    reader = open_reader(root)
    labels = reader.label_set()
    sampling = ClipSampling(**({"frames_per_clip": 4, "resolution": 32, "random": True, "seed": 0} | changes))
    return ClipDataset(reader, labels, [c for c in labels.clips if c.split == "train"], sampling)


# -- datasets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_views", [0, 3])
def test_items_equal_the_cached_frames_embeddings_and_logits(tmp_path, backend, num_views):
    data = dataset(make_tiny_cache(tmp_path / "c", 4, num_views, backend=backend), resolution=48)
    reader = open_reader(tmp_path / "c")
    for epoch in range(3):
        data.epoch = epoch
        for index in (0, 4):
            item, clip = data[index], data.clips[index]
            timeline = reader.timeline(clip.video_uid)
            times = item["t_rel_sec"].numpy().astype(float) + clip.start_sec
            at = [int(np.flatnonzero(timeline.t_sec == t)[0]) for t in times]
            assert at == sorted(set(at)) and all(clip.start_sec <= timeline.t_sec[i] < clip.end_sec for i in at)
            view = choose_view(1 + num_views, data.sampling, epoch, index)
            for t, i in enumerate(at):
                shard, row = reader.frames(timeline.unit[i]), int(timeline.row[i])
                crop = canonical_frame.load_view(shard.jpeg(row), timeline.views[view], 48)
                np.testing.assert_array_equal(item["frames"][t].numpy(), crop.transpose(2, 0, 1))
                np.testing.assert_array_equal(item["embeddings"][t], shard.embeddings(row, row + 1, view)[0])
                logits = reader.logits("tiny", timeline.unit[i]).logits(row, row + 1, view)[0]
                np.testing.assert_array_equal(item["logits"][t], logits)
            assert item["label"] == clip.label and item["index"] == index and item["mask"].all()


def test_short_clips_are_padded_and_masked(tiny):
    data = dataset(tiny, frames_per_clip=8)
    item = data[0]
    assert item["mask"].tolist() == [True] * 5 + [False] * 3
    assert item["frames"].shape == (8, 3, 32, 32) and not item["frames"][5:].any()
    assert item["embeddings"][:5].any(1).all() and not item["embeddings"][5:].any()


def test_clips_without_frames_are_counted_and_left_out(tiny):
    reader = open_reader(tiny)
    labels = reader.label_set()
    late = dataclasses.replace(labels.clips[0], start_sec=99.0, end_sec=100.0)
    gone = dataclasses.replace(labels.clips[0], video_uid="not-there")
    data = ClipDataset(reader, labels, [late, labels.clips[1], gone], ClipSampling(4, 32, False, 0))
    assert len(data) == 1 and data.num_empty == 2 and data.clips == [labels.clips[1]]


def test_frames_are_spread_over_the_clip_and_resampled_each_epoch():
    rows = np.arange(100, 123)
    still = ClipSampling(4, 32, random=False, seed=0)
    assert (
        choose_frames(rows, still, 0, 0).tolist() == choose_frames(rows, still, 5, 9).tolist() == [102, 108, 114, 120]
    )
    moving = dataclasses.replace(still, random=True)
    draws = [choose_frames(rows, moving, epoch, 3) for epoch in range(200)]
    for segment in range(4):
        seen = {int(draw[segment]) for draw in draws}
        low, high = 100 + 23 * segment / 4, 100 + 23 * (segment + 1) / 4
        assert all(low - 1 < row < high for row in seen) and len(seen) >= 5  # a row on a border belongs to both
    assert all((np.diff(draw) > 0).all() for draw in draws)
    np.testing.assert_array_equal(choose_frames(rows, moving, 7, 3), draws[7])
    assert choose_frames(rows[:3], moving, 0, 0).tolist() == [100, 101, 102]


def test_every_stored_view_is_used_once_in_k_epochs():
    sampling = ClipSampling(4, 32, random=True, seed=5)
    for index in range(20):
        assert sorted(choose_view(9, sampling, epoch, index) for epoch in range(8)) == list(range(1, 9))
    assert len({choose_view(9, sampling, 0, index) for index in range(50)}) > 4
    assert choose_view(1, sampling, 3, 0) == 0 == choose_view(9, dataclasses.replace(sampling, random=False), 3, 0)


def test_an_epoch_has_every_clip_once_grouped_by_shard():
    shards = np.array([f"{i // 7:06d}" for i in range(300)], dtype=object)
    orders = [epoch_order(shards, 1, epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(300))
        seen = [len({shards[i] for i in order[start : start + 56]}) for start in (0, 56, 112)]
        assert max(seen) <= 9  # a window opens 8 shards, and a stretch of clips may meet the next window
    assert (orders[0] != orders[1]).any() and (epoch_order(shards, 2, 0) != orders[0]).any()
    np.testing.assert_array_equal(epoch_order(shards, 1, 2), orders[2])


# -- training --------------------------------------------------------------------------------------------------------


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {
        "student_size": "tiny",
        "student_resolution": 128,
        "student_pretrained": False,
        "epochs": 2,
        "batch_size": 8,
        "frames_per_clip": 2,
        "num_workers": 0,
        "device": "cpu",
    }
    return TrainConfig(cache_dir, output_dir, **(values | changes))


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    return train(settings(tiny, output, epochs=12, batch_size=4, gamma=1.0)), output


def history(folder) -> list[dict]:
    return json.loads((folder / "train_log.json").read_text())


def test_training_learns_the_teacher_and_the_labels(trained):
    first, *_, last = epochs = history(trained[1])
    assert last["feature"] < 0.6 * first["feature"] and last["task"] < 0.6 * first["task"]
    assert max(entry["selection_top1"] for entry in epochs) >= 2 / 3
    assert last["lr"] == pytest.approx(0, abs=1e-9)


def test_a_run_writes_checkpoint_state_logs_and_settings(trained):
    output, epochs = trained[1], history(trained[1])
    names = {"best_student.pt", "training_state.pt", "train_log.csv", "train_log.json", "train_config.yaml"}
    assert {p.name for p in output.iterdir()} == names | {"verified_shards.jsonl"}
    rows = list(csv.DictReader((output / "train_log.csv").read_text().splitlines()))
    assert len(rows) == 12 == len(epochs)
    assert float(rows[3]["feature"]) == pytest.approx(epochs[3]["feature"])
    content = torch.load(output / "best_student.pt", weights_only=True)
    best = max(epochs, key=lambda e: (e["selection_top1"], e["selection_cosine"]))
    assert content["epoch"] == best["epoch"] and content["classes"] == list(CLASSES)
    assert content["frames_per_clip"] == 2 and content["student"]["size"] == "tiny"
    student, _ = checkpoint.load_student(output / "best_student.pt")
    assert not student.training


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_unstopped_run(tiny, tmp_path, monkeypatch):
    train(settings(tiny, tmp_path / "whole", epochs=3))
    real, calls = run_files.write_logs, []

    def stop_in_epoch_two(folder, history):
        real(folder, history)
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_files, "write_logs", stop_in_epoch_two)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tiny, tmp_path / "cut", epochs=3))
    train(settings(tiny, tmp_path / "cut", epochs=3))
    whole, cut = (torch.load(tmp_path / name / "training_state.pt", weights_only=True) for name in ("whole", "cut"))
    for name, tensor in whole["students"]["tiny"]["student"].items():
        assert torch.equal(tensor, cut["students"]["tiny"]["student"][name]), name
    losses = [[entry["total"] for entry in history(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_a_finished_run_is_not_trained_again_and_another_is_not_overwritten(trained, tiny):
    _, output = trained
    before = (output / "training_state.pt").read_bytes()
    again = train(settings(tiny, output, epochs=12, batch_size=4, gamma=1.0, num_workers=1))
    assert again.summary.startswith("already trained") and len(history(output)) == 12
    with pytest.raises(InputError, match=r"another training run \(lr: None -> 0.5\).*--overwrite"):
        train(settings(tiny, output, epochs=12, batch_size=4, gamma=1.0, lr=0.5))
    assert (output / "training_state.pt").read_bytes() == before
    train(settings(tiny, output.parent / "over", epochs=1))
    fresh = history(output.parent / "over")
    train(settings(tiny, output.parent / "over", epochs=1, lr=0.01, overwrite=True))
    assert history(output.parent / "over") != fresh


def labels(kind="fitted", labeled=True) -> LabelSet:
    clip = ClipLabel("c", "v", 0.0, 1.0, 0 if labeled else -1, "train")
    return LabelSet("x", kind, CLASSES, (), None, {}, (clip,))


@pytest.mark.parametrize(
    ("kind", "labeled", "message"),
    [
        ("none", True, "no soft logits for the response term; train without it: --beta 0"),
        ("zero-shot", False, "no labels of training clips for the task term; train without it: --gamma 0"),
        ("none", False, "response term and no labels of training clips for the task term; .*: --beta 0 --gamma 0"),
    ],
)
def test_weighted_terms_without_their_data_are_refused(tmp_path, kind, labeled, message):
    with pytest.raises(InputError, match=message):
        loss_settings_for(settings(tmp_path, tmp_path), labels(kind, labeled))
    assert loss_settings_for(settings(tmp_path, tmp_path), labels()) == loss_settings()
    weightless = settings(tmp_path, tmp_path, beta=0.0, gamma=0.0)
    assert loss_settings_for(weightless, labels(kind, labeled)) == loss_settings(beta=0.0, gamma=0.0)


def test_an_unlabeled_cache_trains_the_feature_term(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 6, labeled=False, logits=False, classes=False)
    result = train(settings(root, tmp_path / "out", epochs=1, beta=0.0, gamma=0.0))
    (epoch,) = history(tmp_path / "out")
    assert epoch["response"] == epoch["task"] == 0 < epoch["feature"] and epoch["gradient_share_feature"] == 1
    results = evaluate(EvaluateConfig(root, result.best_paths[0], tmp_path / "out", num_workers=0, device="cpu"))
    assert results.student.top1 is None and results.comparison.embedding_cosine is not None
    assert comparison_table(results).splitlines()[3].split() == ["top-1", "-", "-", "-"]
    assert find_mismatch(results.as_dict(), SCHEMA) is None


def test_a_cache_without_training_clips_is_refused(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 1)
    with pytest.raises(InputError, match=r"'tiny' .*no training clip"):
        train(settings(root, tmp_path / "out", gamma=0.0))


def test_a_diverging_loss_is_one_sentence(tiny, tmp_path):
    with pytest.raises(PipelineError, match=r"loss of student tiny is NaN or infinite \(step \d.*--lr"):
        train(settings(tiny, tmp_path / "out", lr=1e18, epochs=3))


def test_the_learning_rate_warms_up_and_falls_to_zero():
    factors = [lr_factor(step, 100) for step in range(101)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and factors[5] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0) and all(a >= b for a, b in itertools.pairwise(factors[5:]))


# -- checkpoints and evaluation --------------------------------------------------------------------------------------


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_damaged_hostile_and_foreign_checkpoints_are_refused(trained, tmp_path):
    good = (trained[1] / "best_student.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"model": Hostile(tmp_path / "owned")}))
    torch.save({"model": Hostile(tmp_path / "owned")}, tmp_path / "hostile.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    content = torch.load(trained[1] / "best_student.pt", weights_only=True)
    torch.save(content | {"format": 99}, tmp_path / "format.pt")
    torch.save(content | {"student": content["student"] | {"size": "xxs"}}, tmp_path / "misfit.pt")
    torch.save(content | {"student": {"size": "xxs"}}, tmp_path / "bare.pt")
    torch.save(content | {"student": content["student"] | {"size": "huge"}}, tmp_path / "huge.pt")
    torch.save(content | {"student": content["student"] | {"projection": "odd"}}, tmp_path / "odd.pt")
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "nowhere.pt"]:
        with pytest.raises(CheckpointError, match=path.name):
            checkpoint.load_student(path)
    assert not (tmp_path / "owned").exists()


@pytest.fixture(scope="module")
def evaluated(trained, tiny):
    result, output = trained
    config = EvaluateConfig(tiny, result.best_paths[0], output / "eval", num_workers=0, device="cpu")
    towers = {side: TimedModel(torch.nn.Flatten(), torch.zeros(1, 3, 32, 32)) for side in ("teacher", "reference")}
    return evaluate(config, towers), config


def test_results_and_table_name_precision_and_device(evaluated):
    environment = evaluated[0].environment
    assert (environment["precision"], environment["judged_on"]) == ("float32", "cpu")
    told = comparison_table(evaluated[0])
    assert "student evaluated in float32 on cpu; export-student evaluates float16 and int8 files" in told


def test_both_models_are_timed_alike_and_the_results_state_how(evaluated):
    timed = evaluated[0].environment["timed"]
    assert set(timed) == {"teacher", "reference", "student"}
    assert set(timed.values()) == {"batch normalization folded, channels-last"}


def test_the_results_have_the_documented_keys_and_agree_with_a_recount(evaluated, tiny):
    results, config = evaluated
    assert json.loads((config.output_dir / "evaluation_results.json").read_text()) == results.as_dict()
    results = results.as_dict()
    assert (config.output_dir / "comparison_plot.png").read_bytes().startswith(b"\x89PNG")
    reader = open_reader(tiny)
    clips = [clip for clip in reader.label_set().clips if clip.split == "val"]
    right = []
    for clip in clips:  # the teacher recounted by hand: the mean of the logits of two frames of each clip
        timeline = reader.timeline(clip.video_uid)
        rows = np.arange(*timeline.window(clip.start_sec, clip.end_sec).indices(99))[[1, 3]]
        shard = reader.logits("tiny", timeline.unit[rows[0]])
        logits = np.mean([shard.logits(int(r), int(r) + 1, 0)[0] for r in timeline.row[rows]], 0)
        right.append(logits.argmax() == clip.label)
    assert results["num_clips"] == len(clips) == 12
    assert results["teacher"]["top1"] == pytest.approx(np.mean(right))
    assert results["student"]["parameters"]["deployed"] > 300_000
    assert results["teacher"]["parameters"]["image"] == 1000
    comparison = results["comparison"]
    drop = 100 * (results["teacher"]["top1"] - results["student"]["top1"])
    assert comparison["accuracy_drop_points"] == pytest.approx(drop)
    assert comparison["compression"] == pytest.approx(1000 / results["student"]["parameters"]["deployed"])
    times = results["teacher"]["latency_ms"]["p50_ms"] / results["student"]["latency_ms"]["p50_ms"]
    assert comparison["latency_ratio"] == pytest.approx(times)
    assert 0 <= comparison["agreement"] <= 1 and results["student"]["top1"] >= 2 / 3
    assert sum(entry["clips"] for entry in results["per_class"]) == 12


def test_the_file_has_exactly_the_documented_keys_and_types(evaluated):
    results, config = evaluated
    assert read_results(config.output_dir) == results
    document = json.loads((config.output_dir / RESULTS_NAME).read_text())
    assert find_mismatch(document, SCHEMA) is None
    assert find_mismatch(document | {"more": 1}, SCHEMA) == "more is not one of its keys"
    parameters = document["student"]["parameters"]
    parts = sum(parameters[part] for part in ("backbone", "projection", "attention", "head"))
    assert parameters["training"] == parts


def test_predictions_hold_the_outputs_of_each_clip(evaluated, tiny):
    results, config = evaluated
    clips = [clip for clip in open_reader(tiny).label_set().clips if clip.split == "val"]
    with np.load(config.output_dir / PREDICTIONS_NAME, allow_pickle=False) as file:
        found = dict(file)
    assert found["classes"].tolist() == list(CLASSES) == results.classes
    assert found["video_uid"].tolist() == [clip.video_uid for clip in clips]
    assert found["labels"].tolist() == [clip.label for clip in clips]
    assert list(zip(found["start_sec"], found["end_sec"], strict=True)) == [(c.start_sec, c.end_sec) for c in clips]
    shapes = {name: (values.shape, values.dtype.name) for name, values in found.items() if values.ndim == 2}
    assert shapes == dict.fromkeys(("logits", "teacher_logits"), ((12, 3), "float32")) | dict.fromkeys(
        ("embeddings", "teacher_embeddings"), ((12, 16), "float16")
    )
    right = found["logits"].argmax(1) == found["labels"]
    assert results.student.top1 == pytest.approx(right.mean())
    assert results.num_videos == 4 and results.student.top1_interval is None  # too few to have one
    assert "no 95 % intervals: 4 recordings are too few (6 are needed)" in comparison_table(results)
    told = sum(clips for true, predicted, clips in results.confusion.student if true == predicted)
    assert told == right.sum() and sum(clips for *_, clips in results.confusion.student) == 12


def test_a_split_without_labels_still_compares_with_the_teacher(evaluated, tmp_path, caplog):
    root = make_tiny_cache(tmp_path / "c", 4, labeled=False)
    results = evaluate(dataclasses.replace(evaluated[1], cache_dir=root, output_dir=tmp_path))
    assert "none of the 6 val clips of label set 'tiny' has a label: accuracy and calibration are not" in caplog.text
    results = results.as_dict()
    assert find_mismatch(results, SCHEMA) is None and results["num_labelled_clips"] == 0
    for side in ("teacher", "student"):
        assert results[side]["top1"] is results[side]["top1_interval"] is results[side]["calibration_error"] is None
    comparison = results["comparison"]
    assert comparison["accuracy_drop_points"] is None and results["per_class"] == results["confusion"]["student"] == []
    assert None not in (comparison["agreement"], comparison["kl_divergence"])


def test_compare_evaluates_checkpoints(evaluated, tiny, tmp_path):
    results, config = evaluated
    arguments = (config.output_dir, config.student_checkpoint)
    found = compare(CompareConfig(arguments, tmp_path, tiny, num_workers=0, device="cpu"))
    teacher, first, second = found.rows
    assert (teacher.role, first.name) == ("teacher", "eval")
    assert first.top1 == second.top1 and second.difference_points == 0
    assert read_results(tmp_path / second.name).student.top1 == results.student.top1
    names = {"comparison.csv", "comparison.json", "comparison.png", "compare_config.yaml", second.name}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.slow
def test_results_and_other_files_are_of_the_same_evaluation(evaluated, tmp_path, monkeypatch):
    config = dataclasses.replace(evaluated[1], output_dir=tmp_path, num_samples=2)
    evaluate(config)
    write = commit.replace

    def stopped(path, data):
        if path.name == "report.html":
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(commit, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(dataclasses.replace(config, seed=1))
    assert (tmp_path / PREDICTIONS_NAME).exists() and not (tmp_path / RESULTS_NAME).exists()


def test_the_table_warns_about_a_random_teacher(evaluated):
    table = comparison_table(evaluated[0])
    assert "random teacher: this exercises the machinery" in table.splitlines()[0] and "x faster" in table


def test_fewer_clips_and_an_empty_split(evaluated):
    config = evaluated[1]
    assert evaluate(dataclasses.replace(config, num_samples=5)).num_clips == 5
    with pytest.raises(InputError, match=r"--split test has no clip.*24 train, 12 val, 0 test"):
        evaluate(dataclasses.replace(config, split="test"))


def test_evaluating_another_label_set_leaves_out_training_recordings(evaluated, tmp_path, caplog):
    config, root = evaluated[1], make_tiny_cache(tmp_path / "c")
    writer = open_writer(root, open_reader(root).identity)
    for name in ("other", "disjoint"):  # "other" holds out every video, "disjoint" those that "tiny" trains on
        clips = [c for c in open_reader(root).label_set("tiny").clips if name == "other" or c.split == "train"]
        writer.create_label_set(LabelSet(name, "none", CLASSES, (), None, {}), None)
        writer.publish_clips(name, 0, [dataclasses.replace(clip, split="val") for clip in clips])
    writer.close()
    results = evaluate(dataclasses.replace(config, cache_dir=root, label_set="other", output_dir=tmp_path))
    message = "24 clips are left out: their recordings are in the training split of label set 'tiny'"
    assert results.num_clips == 12 and message in caplog.text
    with pytest.raises(InputError, match="--split val has no clip"):
        evaluate(dataclasses.replace(config, cache_dir=root, label_set="disjoint", output_dir=tmp_path))


def test_a_checkpoint_from_another_cache_is_refused(evaluated, tmp_path):
    config = evaluated[1]
    with pytest.raises(CheckpointError, match="of size tiny, not xs"):
        evaluate(config, student_size="xs")
    other = make_tiny_cache(tmp_path / "dim", 3, dim=8)
    with pytest.raises(CheckpointError, match="16-d embeddings, but the cache's teacher has 8-d"):
        evaluate(dataclasses.replace(config, cache_dir=other))
    other = make_tiny_cache(tmp_path / "classes", 3, classes=False, logits=False, labeled=False)
    with pytest.raises(CheckpointError, match="knows 3 classes"):
        evaluate(dataclasses.replace(config, cache_dir=other))
    content = torch.load(config.student_checkpoint, weights_only=True)
    torch.save(content | {"teacher": content["teacher"] | {"weights_sha256": "1" * 64}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="with other weights"):
        evaluate(dataclasses.replace(config, student_checkpoint=tmp_path / "x.pt"))
    assert not (tmp_path / "out").exists()
