"""extract(), train(), evaluate() and export(): what they return, report and write."""

import dataclasses
import json

import numpy as np
import pytest

import embedonce
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

QUICK = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "frames_per_clip": 2}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of two classes, one of whose videos cannot be read."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("open", "close"):
        (root / name).mkdir()
        write_video(root / name / "good.mp4", 30)
    (root / "close" / "bad.mp4").write_bytes(b"no video")
    return root


@pytest.mark.integration
def test_an_extraction_is_counted_and_reported(videos, tmp_path, capfd):
    events = []
    options = {"cache_dir": str(tmp_path / "cache"), "teacher_size": "demo", "fps": np.int64(2), "decode_workers": 2}
    found = embedonce.extract(data_dir=str(videos), on_progress=events.append, **options)
    assert (found.listed, found.committed, found.pending, found.withdrawn) == (3, 2, 0, 0)
    assert list(found.quarantined) == ["close/bad.mp4"] and found.quarantined["close/bad.mp4"]
    assert found.cache_dir == tmp_path / "cache" and found.times["ok"] == found.frames
    with embedonce.open_cache(found.cache_dir) as cache:
        assert cache.label_sets() == found.label_sets and cache.num_frames == found.frames
        (quarantined,) = cache.reader.quarantined()
        with pytest.raises(LookupError, match=rf"has no video {quarantined!r}: it is quarantined \("):
            cache.embeddings(quarantined)
    last = [event for event in events if event.stage == "extracting frames"][-1]
    assert last == embedonce.ProgressEvent("extracting frames", found.frames, found.frames, "frames")
    assert str(last) == f"extracting frames: {found.frames}/{found.frames} frames"
    assert capfd.readouterr().out == ""


class StopNowError(Exception):
    pass


def stop(event):
    raise StopNowError(event.stage)


@pytest.mark.integration
def test_an_error_of_the_callback_ends_the_run_which_continues_later(videos, tmp_path):
    options = {"data_dir": videos, "cache_dir": tmp_path / "cache", "teacher_size": "demo", "decode_workers": 1}
    with pytest.raises(StopNowError, match="scanning videos"):
        embedonce.extract(on_progress=stop, **options)
    assert embedonce.extract(**options).committed == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A student of a tiny cache, how it was trained, and the events of that."""
    root, events = tmp_path_factory.mktemp("trained"), []
    make_tiny_cache(root / "cache", 6)
    places = {"cache_dir": str(root / "cache"), "output_dir": str(root / "run")}
    found = embedonce.train(epochs=2, num_workers=0, on_progress=events.append, **places, **QUICK)
    return root, found, events


@pytest.mark.integration
def test_a_training_names_its_students_and_their_scores(trained):
    root, found, events = trained
    (student,) = found.students
    assert (found.output_dir, student.checkpoint) == (root / "run", root / "run" / "best_student.pt")
    assert student.checkpoint.is_file() and student.size == "tiny" and student.best_epoch in (1, 2)
    assert student.scores["selection_top1"] is not None and student.selected_by == "top-1 accuracy"
    assert {event.stage for event in events} == {"epoch 1/2", "epoch 2/2"}
    last = [event for event in events if event.stage == "epoch 2/2"][-1]
    assert last.count == last.total > 0 and last.unit == "clips"


@pytest.mark.integration
def test_an_evaluation_has_the_figures_that_it_writes(trained, tmp_path, capfd):
    root, training, _ = trained
    checkpoint = training.students[0].checkpoint
    options = {"cache_dir": root / "cache", "student_checkpoint": checkpoint, "num_workers": 0}
    found = embedonce.evaluate(output_dir=tmp_path / "results", **options)
    assert all(path.is_file() and path.name == name for name, path in found.files.items()) and len(found.files) == 4
    assert found.results.as_dict() == json.loads(found.files["evaluation_results.json"].read_text())
    assert found.results.num_clips == 6 and capfd.readouterr().out == ""


@pytest.mark.integration
def test_an_export_names_its_files_and_how_near_they_are(trained, tmp_path):
    root, training, _ = trained
    options = {"cache_dir": root / "cache", "student_checkpoint": training.students[0].checkpoint, "formats": "fp32"}
    found = embedonce.export(output_dir=tmp_path / "export", **options)
    assert found.output_dir == tmp_path / "export" and set(found.parity) == {"fp32"}
    assert {path.name: path.stat().st_size for path in found.files.values()} == found.num_bytes
    assert any(name.endswith(".onnx") for name in found.files) and found.parity["fp32"].cosine > 0.999
    with pytest.raises(ValueError, match=r"overwrite") as raised:
        embedonce.export(output_dir=tmp_path / "export", **options)
    assert "--" not in str(raised.value)


@pytest.mark.integration
def test_results_cannot_be_changed(trained):
    for result in (trained[1], trained[1].students[0], embedonce.ProgressEvent("x", 0, None, "it")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, dataclasses.fields(result)[0].name, None)


def test_an_extraction_needs_an_input():
    with pytest.raises(ValueError, match="no input: give data_dir"):
        embedonce.extract()
