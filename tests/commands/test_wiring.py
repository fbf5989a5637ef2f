"""What commands print and pass on: sizes in the right units, and each setting to the right function."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from embedonce.cache import convert as conversion
from embedonce.cache.convert import convert
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedSegment, Unit
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.cache.verify_report import Report
from embedonce.models import fit_head
from embedonce.pipeline.commands import verify_cache
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation import teacher_latency
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export import export as exporting
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.extraction import extract_teacher
from embedonce.pipeline.extraction.pending_videos import PendingVideos
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.labeling import fitted_logits, label_sets
from embedonce.pipeline.sources.source import Clip, Source
from embedonce.pipeline.training import trainer as training
from tests.commands.test_cli import call, error_of
from tests.conftest import make_cache_identity, planned_video
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("commands") / "cache", 4, num_views=2)


def test_an_export_is_reported_in_megabytes_and_percent(tmp_path, monkeypatch):
    figures = {"fp16": Parity(9, 0.25, 0.5, 0.75, 0.98765, 0.625)}
    made = exporting.Export(tmp_path / "out", {"frames.fp16.onnx": 3_250_000}, figures)
    monkeypatch.setattr(exporting, "export", lambda config: made)
    output = call("export-student", "--cache-dir", tmp_path, "--student-checkpoint", tmp_path / "s.pt")
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert f"3.25 MB {tmp_path / 'out' / 'frames.fp16.onnx'}" in lines
    assert "fp16 75.0 % 0.98765 2.5e-01 62.5 %" in lines


def test_relabel_adds_the_label_set_to_the_manifest_and_saves_its_settings(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "cache")
    (tmp_path / "mine.txt").write_text("one\ntwo\n")
    call("relabel", "--cache-dir", root, "--classes", tmp_path / "mine.txt", "--teacher-head", "none")
    assert json.loads((root / "manifest.json").read_text())["label_sets"] == ["mine", "tiny"]
    assert "teacher_head: none" in (root / "relabel_config.yaml").read_text()


@pytest.mark.parametrize("command", ["train-student", "evaluate"])
def test_assertions_about_a_cache_are_checked_before_any_work(tiny, tmp_path, monkeypatch, command):
    worked = []
    monkeypatch.setattr(training, "train", worked.append)
    monkeypatch.setattr(evaluating, "evaluate", lambda *calls: worked.append(calls))
    place = ["--cache-dir", tiny, "--output-dir", tmp_path]
    place += ["--student-checkpoint", tmp_path / "s.pt"] if command == "evaluate" else []
    assert "the label set has 3 classes" in error_of(command, *place, "--num-actions", 5, code=4)
    assert "was made by fake" in error_of(command, *place, "--teacher-size", "base", code=4)
    assert not worked


def test_image_encoders_are_loaded_on_the_device_of_the_runtime(tmp_path, monkeypatch):
    """ONNX Runtime uses the CPU, whatever --device the student is evaluated on."""
    calls = []
    monkeypatch.setattr(teacher_latency, "image_encoders", lambda *arguments: calls.append(arguments))
    for settings in ({"runtime": "onnx"}, {"device": "mps", "teacher_model": "m.json"}):
        config = EvaluateConfig(tmp_path, tmp_path / "s.pt", tmp_path, teacher_latency=True, **settings)
        teacher_latency.encoders_for(config)
    assert calls == [(tmp_path, "cpu", None), (tmp_path, "mps", "m.json")]


def test_a_verification_counts_each_frame_once_and_all_bytes(tiny):
    reader = open_reader(tiny)
    records = [*reader.records.values(), *reader.label_records("tiny").values()]
    report = verify(tiny)
    assert (report.num_rows, report.num_shards, len(records)) == (reader.num_rows, 8, 8)
    assert report.num_bytes == sum(record.num_bytes for record in records)
    output = call("verify-cache", "--cache-dir", tiny, "--no-pixels", code=4)  # nothing of it was planned
    assert f"checked 8 shards, {reader.num_rows} frames, {report.num_bytes / 1e6:.1f} MB" in output


def test_recomputed_rows_are_reported_by_the_lowest_and_the_mean_cosine(tiny, monkeypatch):
    monkeypatch.setattr(verify_cache, "_verified", lambda *calls: Report(num_pending=2, num_units=7))
    monkeypatch.setattr(extract_teacher, "recomputed", lambda *calls, **teacher: np.array([[0.992, 1.0], [1.0, 1.0]]))
    output = call("verify-cache", "--cache-dir", tiny, "--recompute", 2)
    assert "embedded 2 rows again: cosine 0.99200 at least, 0.99800 on average" in output
    assert "sound: everything is as it was committed" in output and "2 of 7 units are not extracted yet" in output


def test_a_conversion_reports_its_progress_and_releases_the_lock(tiny, tmp_path, monkeypatch):
    output, opened = [], []
    monkeypatch.setattr(conversion, "open_writer", lambda *calls: opened.append(open_writer(*calls)) or opened[-1])
    done = convert(tiny, tmp_path / "c", "webdataset", lambda *counts: output.append(counts))
    assert output == [(1, 4), (2, 4), (3, 4), (4, 4)] and done == 8  # logits come after the frames
    open_writer(tmp_path / "c", opened[0].identity).close()  # though the first writer is still there
    ours, theirs = open_reader(tmp_path / "c"), open_reader(tiny)
    assert ours.label_set("tiny") == theirs.label_set("tiny")
    np.testing.assert_array_equal(ours.all_logits("tiny", "000002"), theirs.all_logits("tiny", "000002"))


def test_a_decoding_task_follows_the_plan_and_the_settings():
    video = planned_video("u", end_sec=3.0, first_pts=7680, fingerprint="f" * 64, by_order=True)
    config = SimpleNamespace(decoder="nvdec", jpeg_quality=91, num_decode_workers=1)
    writer = SimpleNamespace(planned_videos={"u": video}, identity=make_cache_identity(input_size=48), units=())
    builder = ShardBuilder((), writer.planned_videos, (1, 8))
    pending = PendingVideos(config, writer, builder, {"u": SimpleNamespace(path=Path("u.mp4"))})
    plan = SimpleNamespace(entry_points=None)
    segment = PlannedSegment("u", np.array([3, 5]), np.array([30, 50]), np.arange(2), np.arange(2))
    assert pending.add((Unit("000000", (segment,)),), {"u": plan}) == ["u"]
    (task,) = pending.tasks("u")
    assert (task.uid, task.path, task.decoder, task.jpeg_quality) == ("u", Path("u.mp4"), "nvdec", 91)
    assert (task.frame_index.tolist(), task.pts.tolist(), task.by_order) == ([3, 5], [30, 50], True)
    assert (task.crop_size, task.fingerprint, task.plan) == (48, "f" * 64, plan)
    assert task.duration_sec == pytest.approx(2.5) and task.views is video.views


def test_a_head_is_fitted_to_evaluation_crops_of_labeled_training_clips(tiny):
    reader = open_reader(tiny)
    clips = [Clip(c.clip_id, c.video_uid, c.start_sec, c.end_sec, c.label, c.split)
             for c in reader.label_set("tiny").clips]  # fmt: skip
    clips[3] = Clip("unlabeled", "v1", 0.0, 2.5, -1, "train")  # the first clip of the first training video
    planned = SimpleNamespace(planned_videos={uid: planned_video(uid) for uid in reader.video_uids})
    source = Source(tiny, "folder", (), tuple(clips), ("red", "green", "blue"))
    parts = fitted_logits.labeled_rows(planned, reader, source)
    stored = np.concatenate([reader.frames(f"{unit:06d}").embeddings(0, 15, 0) for unit in (1, 2)])[5:]
    rows = np.concatenate([rows for rows, _ in parts])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, stored.astype(np.float32).tolist()))
    assert sum(len(labels) for _, labels in parts) == 25 and all((labels >= 0).all() for _, labels in parts)


def test_a_fitted_head_is_selected_and_evaluated_on_different_parts(tiny, monkeypatch):
    head, calls = torch.nn.Linear(16, 3), []
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))  # class 1, whatever it sees
    sizes = {"train": [0, 1, 2, 2], "selection": [0, 2, 2, 0, 0], "held out": [1, 1, 0]}
    parts = [
        fitted_logits.LabeledRows(np.full((len(labels), 16), len(labels), np.float32), np.array(labels))
        for labels in sizes.values()
    ]
    monkeypatch.setattr(fitted_logits, "labeled_rows", lambda *arguments: parts)
    monkeypatch.setattr(
        fit_head, "fit_action_head", lambda *rows, **more: calls.append((rows, more)) or head.requires_grad_(False)
    )
    labels = LabelSet("new", "fitted", ("a", "b", "c"), (), None, {})
    writer = SimpleNamespace(reader=lambda: open_reader(tiny))
    found, _ = fitted_logits.fitted_head(writer, None, labels, 5)
    assert found.facts == {"train_rows": 4, "selection_rows": 5, "held_out_rows": 3, "held_out_frame_top1": 2 / 3}
    ((rows, more),) = calls
    assert [len(array) for array in rows] == [4, 4, 5, 5] and more == {"num_classes": 3, "seed": 5}


def test_clips_without_a_frame_are_counted():
    clips = tuple(ClipLabel(str(i), "v", float(i), i + 1.0, 0, "train") for i in range(10))
    labels = LabelSet("l", "none", ("a",), (), None, {}, clips)
    assert label_sets.summary_line(labels, 7).startswith(
        "label set l: 1 classes, 10 clips; 3 have no frame in the cache"
    )
    assert label_sets.summary_line(labels, 10) == "label set l: 1 classes, 10 clips"
