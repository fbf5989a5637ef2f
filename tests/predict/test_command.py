"""The command predict: its options, its files, and one sentence for everything that cannot be used."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import commit
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.metrics.calibration_file import Calibration
from tests.support.predicted_videos import PredictedVideos

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


def run(world: PredictedVideos, *words: object, student: Path | None = None):
    arguments = [*map(str, words), "--student", str(student or world.checkpoint)]
    return CliRunner().invoke(cli.main, ["predict", *arguments])


def lines_of(world: PredictedVideos, *words: object, **settings) -> list[dict]:
    result = run(world, *words, **settings)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def error_of(world: PredictedVideos, code: int, *words: object, **settings) -> str:
    result = run(world, *words, **settings)
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result.stderr.strip().splitlines()[-1]


def write_sound(path: Path) -> None:
    """An MP4 file with nothing but sound."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def calibration(world: PredictedVideos, **changes) -> Calibration:
    digest = commit.sha256(world.checkpoint.read_bytes())
    made = Calibration(digest, "l", "val", 9, False, 2.0, {"stir": 0.99}, 0.0, None)
    return replace(made, **changes)


@pytest.fixture
def own(world, tmp_path) -> Path:
    """A copy of the checkpoint alone in a folder."""
    return Path(shutil.copy(world.checkpoint, tmp_path))


# -- what is predicted ---------------------------------------------------------------------------------------------


def test_a_line_has_the_documented_fields(world):
    video = world.video("wide")
    first = lines_of(world, video)[0]
    assert first["source"] == str(video) and (first["start_sec"], first["end_sec"]) == (0.0, 1.0)
    assert (
        first["label"] == first["top"][0]["label"] == "stir" and first["probability"] == first["top"][0]["probability"]
    )
    assert sum(one["probability"] for one in first["top"]) == pytest.approx(1, abs=1e-5)
    assert (first["frames"], first["reason"]) == (5, None) and len(first) == 8


def test_windows_follow_their_options(world):
    video = world.video("wide")
    found = lines_of(world, video, "--window", "1.5", "--stride", "0.5", "--fps", "4", "--max-seconds", "2.25")
    spans = [(line["start_sec"], line["end_sec"]) for line in found]
    assert spans == [(0.0, 1.5), (0.5, 2.0), (1.0, 2.25)]  # the last one ends with the source
    assert [line["frames"] for line in found] == [6, 6, 5]


def test_smoothing_is_an_average_over_windows(world):
    video = world.video("wide")
    plain, smooth = (lines_of(world, video, "--smoothing", share) for share in ("0", "0.5"))
    shares = [{one["label"]: one["probability"] for one in line["top"]}["stir"] for line in plain]
    expected, average = [], shares[0]
    for share in shares:
        average = (average + share) / 2
        expected.append(average)
    found = [{one["label"]: one["probability"] for one in line["top"]}["stir"] for line in smooth]
    assert found == pytest.approx(expected, abs=1e-5) and found != pytest.approx(shares, abs=1e-3)


def test_labels_below_a_threshold_are_null_and_top_limits_the_list(world):
    low, high = lines_of(world, world.video("wide"), "--threshold", "0.8", "--top", "1")[:2]
    assert low["label"] == "stir" and len(low["top"]) == 1
    assert high["label"] is None and high["reason"] == "below the threshold 0.800 of stir" and high["probability"] > 0.7


def test_a_calibration_next_to_the_student_gives_temperature_and_thresholds(world, own):
    plain = lines_of(world, world.video("wide"), student=own)[0]
    (own.parent / "calibration.json").write_bytes(calibration(world).as_json())
    found = lines_of(world, world.video("wide"), student=own)[0]
    shares = np.sqrt([one["probability"] for one in plain["top"]])  # temperature 2
    assert [one["probability"] for one in found["top"]] == pytest.approx(shares / shares.sum(), abs=1e-5)
    assert found["label"] is None and found["reason"] == "below the threshold 0.990 of stir"
    assert lines_of(world, world.video("wide"), "--threshold", "0.5", student=own)[0]["label"] == "stir"


def test_the_temperature_of_the_checkpoint_is_never_applied_twice(world, own):
    """Training fitted 2, and evaluate 4 to the undivided logits: each of them is all that logits are divided by."""
    plain = lines_of(world, world.video("wide"), student=own)[0]
    meta = replace(checkpoint.load(own), calibration=SelectionCalibration(2.0, 30))
    checkpoint.save(own, meta)
    for total, beside in ((2, None), (4, calibration(world, temperature=4.0, thresholds={}))):
        if beside is not None:
            digest = commit.sha256(own.read_bytes())
            (own.parent / "calibration.json").write_bytes(replace(beside, checkpoint_sha256=digest).as_json())
        found = lines_of(world, world.video("wide"), student=own)[0]
        shares = np.array([one["probability"] for one in plain["top"]]) ** (1 / total)
        assert [one["probability"] for one in found["top"]] == pytest.approx(shares / shares.sum(), abs=1e-4)


def test_a_calibration_of_another_checkpoint_is_refused(world, tmp_path):
    path = tmp_path / "other.json"
    path.write_bytes(calibration(world, checkpoint_sha256="0" * 64).as_json())
    error = error_of(world, 4, world.video("wide"), "--calibration", path)
    assert error.startswith(f"Error: {path} is the calibration of another checkpoint; evaluate this one again")
    path.write_bytes(b'{"calibration_version": 2, "checkpoint_sha256": "0"}')
    assert "has calibration version 2, and this program reads 1" in error_of(
        world, 4, world.video("wide"), "--calibration", path
    )
    assert "there is no calibration" in error_of(world, 2, world.video("wide"), "--calibration", tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"multi_label": True}, "is not a calibration of this student: multi_label differs; evaluate again"),
        ({"thresholds": {"flying": 0.5}}, "has a threshold of 'flying', which is no class of this student"),
    ],
)
def test_a_calibration_that_was_changed_is_refused(world, tmp_path, change, problem):
    path = tmp_path / "changed.json"
    path.write_bytes(calibration(world, **change).as_json())
    assert problem in error_of(world, 4, world.video("wide"), "--calibration", path)


def test_no_output_replaces_what_the_run_reads(world, own, tmp_path):
    before = own.read_bytes()
    beside = own.parent / "calibration.json"
    for place, what in ((own, "the student"), (own.parent / "x" / ".." / own.name, "the student"), (beside, "its cal")):
        found = error_of(world, 2, world.video("wide"), "--output", place, "--overwrite", student=own)
        assert f"is {what}" in found and "which this run reads; name another file" in found
    assert own.read_bytes() == before and not beside.exists()


def test_a_checkpoint_without_preparation_needs_its_cache(world, own):
    content = torch.load(own, weights_only=True)
    del content["preprocessing"]
    torch.save(content, own)
    error = error_of(world, 2, world.video("wide"), student=own)
    assert error.endswith("give the cache that it was trained from with --cache-dir")
    found = lines_of(world, world.video("wide"), "--cache-dir", world.folder / "cache", "--window", 1, student=own)
    assert found == lines_of(world, world.video("wide"))


@pytest.mark.parametrize("annotated", [False, True])
def test_a_full_disk_leaves_whole_lines_and_no_part_of_a_video(world, tmp_path, annotated):
    """A limit on the size of files stands in for the disk."""
    lines, video = tmp_path / "lines.jsonl", tmp_path / "a.mp4"
    words = ["--student", world.checkpoint, "--stride", "0.1", *(["--annotated", video] if annotated else [])]
    limits = (3000, 3000) if annotated else (700, 700)  # lines fit, and the video does not
    script = f"import resource, cli; resource.setrlimit(resource.RLIMIT_FSIZE, {limits}); cli.run()"
    command = [sys.executable, "-c", script, "predict", world.video("slow"), "--output", lines, *words]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 5 and "Traceback" not in ran.stderr, ran.stderr
    found = lines.read_text().splitlines(keepends=True)
    assert found and all(line.endswith("}\n") and json.loads(line) for line in found)
    assert annotated or str(lines) in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [lines.name]


# -- folders and damage --------------------------------------------------------------------------------------------


def test_a_folder_is_predicted_but_for_its_broken_video(world, tmp_path, caplog):
    (tmp_path / "sub").mkdir()
    for name in ("wide", "slow"):
        shutil.copy(world.video(name), tmp_path / "sub")
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    (tmp_path / "notes.txt").write_text("no video either")
    result = run(world, tmp_path)
    assert result.exit_code == 3 and "1 of 3 videos could not be decoded" in caplog.text
    assert f"{tmp_path / 'broken.mp4'}: it is left out: it cannot be read" in caplog.text
    sources = [json.loads(line)["source"] for line in result.stdout.splitlines()]
    assert sources == [str(tmp_path / "sub" / f"{name}.mp4") for name in ("slow", "wide") for _ in range(3)]


def test_windows_of_damaged_frames_are_marked_and_no_frame_is_substituted(world, tmp_path, caplog):
    data = bytearray(world.video("wide").read_bytes())
    start, stop = int(0.36 * len(data)), int(0.66 * len(data))
    data[start:stop] = bytes(stop - start)
    (tmp_path / "damaged.mp4").write_bytes(data)
    result = run(world, tmp_path / "damaged.mp4")
    assert result.exit_code == 0 and "sampled frames cannot be decoded" in caplog.text
    first, damaged, *_ = found = [json.loads(line) for line in result.stdout.splitlines()]
    assert first["probability"] is not None and len(found) == 3
    assert (damaged["label"], damaged["probability"], damaged["top"]) == (None, None, [])
    assert damaged["frames"] < 3 and damaged["reason"] == f"{damaged['frames']} of 5 frames could be used"
    assert "1 with too few frames" in caplog.text


# -- files ---------------------------------------------------------------------------------------------------------


def test_lines_and_the_annotated_video_go_to_their_files(world, tmp_path):
    lines, video = tmp_path / "new" / "p.jsonl", tmp_path / "p.mp4"
    assert lines_of(world, world.video("wide"), "--output", lines, "--annotated", video) == []
    assert [json.loads(line) for line in lines.read_text().splitlines()] == lines_of(world, world.video("wide"))
    with av.open(str(video)) as container, av.open(str(world.video("wide"))) as original:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        real = [frame.to_ndarray(format="rgb24") for frame in original.decode(video=0)]
    assert len(shown) == len(real) == 90 and shown[0].shape == real[0].shape
    above = slice(0, 200)  # the bar is at the bottom
    assert all(np.abs(one[above] - two[above].astype(int)).mean() < 10 for one, two in zip(shown, real, strict=True))
    bars = [image[-20:].astype(int) for image in shown]
    changes = [n for n in range(1, 90) if np.abs(bars[n] - bars[n - 1]).mean() > 1.5]
    assert changes == [30, 60]  # a text for each window
    assert {path.name for path in tmp_path.iterdir()} == {"new", "p.mp4"}


def test_a_portrait_video_is_annotated_upright(world, tmp_path):
    lines_of(world, world.video("portrait"), "--annotated", tmp_path / "p.mp4", "--output", tmp_path / "p.jsonl")
    with av.open(str(tmp_path / "p.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (240, 320) and not frame.rotation


def test_outputs_are_replaced_only_with_overwrite(world, tmp_path):
    lines, video = tmp_path / "p.jsonl", tmp_path / "p.mp4"
    for path, option in ((lines, "--output"), (video, "--annotated")):
        path.write_bytes(b"mine")
        error = error_of(world, 2, world.video("slow"), option, path)
        assert error == f"Error: {option} {path} exists; name another file, or give --overwrite to replace it"
        assert path.read_bytes() == b"mine"
    lines_of(world, world.video("slow"), "--output", lines, "--annotated", video, "--overwrite")
    assert len(lines.read_text().splitlines()) == 3 and video.read_bytes() != b"mine"


def test_a_source_is_never_replaced(world, own):
    video = shutil.copy(world.video("slow"), own.parent)
    error = error_of(world, 2, video, "--annotated", video, "--overwrite")
    assert error.endswith("is one of the sources; name another file")
    assert Path(video).read_bytes() == world.video("slow").read_bytes()


# -- what cannot be used -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "name a video, a folder of videos, a URL, or a camera such as camera:0"),
        (["nowhere.mp4"], "there is no file nowhere.mp4; name a video, a folder of videos, a URL, or camera:0"),
        (["EMPTY"], "there is no video in the folder EMPTY; name a file, a URL, or camera:0"),
        (["camera:front"], "camera:front is not a camera; write camera:0, or the device file such as /dev/video0"),
        (["ftp://h/v.mp4"], "ftp://h/v.mp4: predict reads http://, https:// and rtsp:// URLs"),
        (["TEXT"], "TEXT: it cannot be read (it is a text file)"),
        (["AUDIO"], "AUDIO: it has no video stream, only audio"),
        (["TEXT", "AUDIO"], "no video can be decoded, such as TEXT: it cannot be read (it is a text file)"),
        (["VIDEO", "--threshold", "1.5"], "--threshold must be at most 1 or auto, got 1.5"),
        (["VIDEO", "--smoothing", "1"], "--smoothing must be at least 0 and below 1, got 1.0"),
        (["VIDEO", "--annotated", "a.avi"], "--annotated must be a file whose name ends with .mp4, got"),
        (["VIDEO", "VIDEO", "--annotated", "a.mp4"], "--annotated makes one video, and there are 2 sources; name one"),
        (["VIDEO", "--output", "o/a.mp4", "--annotated", "o/x/../a.mp4"], "--output and --annotated are the same file"),
        (["VIDEO", "--stride", "1e-300"], "--stride must be at least 0.001"),
        (["http://[bad/x"], "http://[bad/x"),
        (["VIDEO", "--output", "EMPTY"], "--output EMPTY is a folder; name a file"),
        (["VIDEO", "--device", "mps"], "--device mps is not available on this machine; it has cpu"),
    ],
)
def test_every_mistake_is_one_sentence(world, tmp_path, monkeypatch, words, error):
    monkeypatch.setitem(__import__("embedonce.models.device", fromlist=["_DEVICES"])._DEVICES, "mps", lambda: False)
    monkeypatch.setitem(__import__("embedonce.models.device", fromlist=["_DEVICES"])._DEVICES, "cuda", lambda: False)
    monkeypatch.chdir(tmp_path)
    places = {name: str(tmp_path / name.lower()) for name in ("EMPTY", "TEXT", "AUDIO")}
    Path(places["EMPTY"]).mkdir()
    Path(places["TEXT"]).write_text("hello")
    write_sound(Path(places["AUDIO"]))
    places["VIDEO"] = str(world.video("slow"))
    for name, place in places.items():
        error = error.replace(name, place)
    given = [places.get(word, word) for word in words]
    assert error in error_of(world, 2, *given)
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "text", "audio"}


def test_a_student_without_classes_is_refused_with_what_to_do(world, own):
    student, meta = checkpoint.load_student(own)
    student.head, shape = None, replace(meta.student, num_classes=0)
    checkpoint.save(own, replace(meta, student=shape, classes=[], model=student.state_dict()))
    error = error_of(world, 2, world.video("slow"), student=own)
    assert error.startswith("Error: the student was trained without classes") and "Student.embed()" in error


def test_a_checkpoint_that_is_missing_or_of_another_version_is_refused(world, own):
    assert "no checkpoint at" in error_of(world, 4, world.video("slow"), student=own.parent / "none.pt")
    content = torch.load(own, weights_only=True)
    torch.save(content | {"format": 99}, own)
    assert "has checkpoint format 99" in error_of(world, 4, world.video("slow"), student=own)
