"""examples/recognise.py compared with evaluate: the same frames at the same times, the same pixels and predictions."""

import ast
import json
import re
import runpy
import shutil
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from embedonce.cache.store import open_reader, open_writer
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.export.export import export
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.frames.canonical_frame import canonical_size, crop
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.video.color import Scaler
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import DIM, FakeTeacher, write_zero_shot
from tests.support.spliced_videos import ONE, patch_matrix
from tests.support.videos import write_video

onnx = pytest.importorskip("onnx", reason="onnx is an extra: pip install 'embedonce[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'embedonce[export]'")

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[1] / "examples" / "recognise.py"
CPU, RESOLUTION, FRAMES = torch.device("cpu"), 128, 3
WINDOWS = [(0.0, 2.0), (0.4, 2.9), (1.0, 1.3)]
VIDEOS = {  # decoded at 5 requests a second
    "wide": {"num_frames": 90, "size": (360, 640)},
    "portrait": {"num_frames": 30, "rate": 10, "size": (240, 320), "rotation": -90},
    "mirrored": {"num_frames": 30, "rate": 10, "size": (240, 320), "matrix": (-ONE, 0, 0, ONE)},
    "transposed": {"num_frames": 30, "rate": 10, "size": (240, 320), "matrix": (0, ONE, ONE, 0)},
    "anamorphic": {"num_frames": 90, "size": (288, 352), "aspect": Fraction(12, 11), "rate": 25},
    "v_uneven": {
        "num_frames": 40,
        "size": (250, 330),
        "ticks": 1000,
        "pts": [90 * i + 13 * (i % 3) for i in range(40)],
    },
    "v_slow": {"num_frames": 8, "size": (240, 320), "rate": 2},  # each frame is used for several requested times
    "v_late": {"num_frames": 60, "size": (240, 426), "pts": [512 * (i + 60) for i in range(60)], "b_frames": 0},
}


def cache_of(folder: Path, names: list[str], root: Path, **teacher):
    """A reader of a labeled cache of these videos by a fake teacher."""
    source = make_source(folder, names, WINDOWS)
    teacher = FakeTeacher(**teacher)
    _, reader, _ = run(source, root, teacher, fps=5.0)
    writer = open_writer(root, reader.identity)
    write_zero_shot(writer, source, teacher)
    writer.close()
    return open_reader(root)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    """Videos, their cache, a student, and its export."""
    folder = tmp_path_factory.mktemp("world")
    for name, settings in VIDEOS.items():
        settings = dict(settings)
        video = write_video(folder / f"{name}.mp4", settings.pop("num_frames"), **settings)
        if "matrix" in settings:
            patch_matrix(video, *settings["matrix"])
    reader = cache_of(folder, list(VIDEOS), folder / "cache")
    torch.manual_seed(1)
    student = build_student(student_config("tiny", DIM, 2, RESOLUTION), pretrained=False).eval()
    student.head[-1].weight.data *= 30
    meta = checkpoint.new_checkpoint(student, reader.label_set(), reader.identity.teacher, FRAMES)
    checkpoint.save(folder / "best_student.pt", meta)
    few = {"formats": "fp32", "num_samples": 2, "calibration_frames": 4}
    made = export(ExportConfig(folder / "cache", folder / "best_student.pt", folder / "export", **few))
    return SimpleNamespace(folder=folder, reader=reader, student=student, export=made.folder)


def clips_of(reader) -> ClipDataset:
    labels = reader.label_set()
    return ClipDataset(reader, labels, list(labels.clips), ClipSampling(FRAMES, RESOLUTION, random=False, seed=0))


def altered(world, folder: Path, preprocessing: dict, **facts) -> Path:
    """A copy of the export with other facts inside."""
    shutil.copytree(world.export, folder)
    model = onnx.load(folder / "frames.fp32.onnx")
    (held,) = [p for p in model.metadata_props if p.key == "embedonce"]
    found = json.loads(held.value)
    held.value = json.dumps(found | facts | {"preprocessing": found["preprocessing"] | preprocessing})
    onnx.save(model, folder / "frames.fp32.onnx")
    return folder


@pytest.fixture
def recognise(monkeypatch, capsys):
    """Run the example in this process: (lines as (time, class, share), inputs of its models)."""
    given, real = [], cache(onnxruntime.InferenceSession)

    class Recorder:
        def __init__(self, path):
            self._session = real(path)

        def get_modelmeta(self):
            return self._session.get_modelmeta()

        def run(self, names, inputs):
            given.append(inputs)
            return self._session.run(names, inputs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorder)

    def recognise(folder: Path, *arguments):
        given.clear()
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["recognise.py", str(folder), *map(str, arguments)])
        runpy.run_path(str(EXAMPLE))
        lines = re.findall(r"([\d.]+) s  (.+)  (\d+)%", capsys.readouterr().out)
        return [(float(time), name, int(share) / 100) for time, name, share in lines], list(given)

    return recognise


def compare(world, reader, folder: Path, recognise) -> None:
    """Compare the example with evaluate on every clip."""
    clips = clips_of(reader)
    expected = predict(world.student, clips, 4, 0, CPU)
    shares = np.exp(expected.logits) / np.exp(expected.logits).sum(1, keepdims=True)
    same = 0
    for index, clip in enumerate(clips.clips):
        item = clips[index]
        lines, given = recognise(folder, world.folder / f"{clip.video_uid}.mp4", clip.start_sec, clip.end_sec)
        ((_, name, share),) = lines
        there = item["mask"].numpy()
        np.testing.assert_allclose(given[-1]["t_rel_sec"][0], item["t_rel_sec"].numpy()[there], atol=1e-5)
        encoded = np.concatenate([inputs["frames"] for inputs in given[:-1]]).astype(int)
        bounds = np.linspace(0, len(encoded), min(FRAMES, len(encoded)) + 1)
        wrong = encoded[((bounds[:-1] + bounds[1:]) / 2).astype(int)] - item["frames"].numpy()[there].astype(int)
        assert np.abs(wrong).mean() < 6 and np.abs(wrong.mean((0, 2, 3))).max() < 0.3, clip  # no brighter, no darker
        same += name == reader.label_set().classes[expected.logits[index].argmax()]
        assert abs(share - shares[index].max()) < 0.15, clip
    assert same >= 0.9 * len(clips) > 0


def test_every_clip_gets_the_prediction_of_evaluate(world, recognise):
    """Times are equal; pixels differ by the loss of JPEG quality 90 on noisy frames, and predictions slightly."""
    compare(world, world.reader, world.export, recognise)


def test_frames_are_squashed_if_the_teacher_squashed_them(world, tmp_path, recognise):
    reader = cache_of(world.folder, ["wide", "v_slow"], tmp_path / "c", resize_mode="squash", interpolation="bilinear")
    folder = altered(world, tmp_path / "export", {"crop": "none", "interpolation": "bilinear"})
    compare(world, reader, folder, recognise)


@pytest.mark.parametrize(("name", "squash"), [*((name, False) for name in VIDEOS), ("wide", True), ("portrait", True)])
def test_pixels_equal_those_of_extraction_before_jpeg(world, tmp_path, recognise, name, squash):
    """Up to one level: canonical frame, crop, Pillow's resize. A shift by half a pixel would change far more."""
    changes = {"crop": "none", "interpolation": "bilinear"} if squash else {}
    folder = altered(world, tmp_path / "export", changes)
    _, given = recognise(folder, world.folder / f"{name}.mp4")
    with av.open(str(world.folder / f"{name}.mp4")) as container:
        frame = next(container.decode(video=0))
        aspect = float(container.streams.video[0].sample_aspect_ratio or 1)
    size = canonical_size(frame.height, frame.width * aspect, short_side=256)
    upright = {"mirrored": np.fliplr, "transposed": lambda image: image.swapaxes(0, 1)}.get(
        name, lambda image: np.rot90(image, round(frame.rotation / 90))
    )
    upright = Image.fromarray(upright(Scaler()(frame, size)))
    box = evaluation_box((upright.height, upright.width), "squash" if squash else "shortest")
    expected = crop(upright, np.array([*box, 0, 2 if squash else 3]), RESOLUTION).transpose(2, 0, 1)
    wrong = np.abs(given[0]["frames"][0].astype(int) - expected)
    assert wrong.max() <= 1 and wrong.mean() < 0.05


def test_a_stream_gets_a_prediction_at_every_time_from_its_last_seconds(world, recognise):
    """At the end of a typical clip, the prediction of evaluate; before that, one from the frames so far."""
    lines, given = recognise(world.export, world.folder / "wide.mp4")
    assert [time for time, *_ in lines] == pytest.approx(np.arange(15) / 5, abs=0.006)
    clips = [inputs for inputs in given if "mask" in inputs]
    assert [inputs["mask"].shape[1] for inputs in clips[:4]] == [1, 2, 3, 3]
    usual = WINDOWS[0][1]  # the one that starts at 0 is the median one
    one, _ = recognise(world.export, world.folder / "wide.mp4", 0, usual)
    assert one[0] == next(line for line in lines if line[0] > usual - 0.21)


def test_key_frames_are_used_if_the_cache_has_only_those(world, tmp_path, recognise):
    """Predictions are made at the key frames' own times."""
    folder = altered(world, tmp_path / "export", {"frames_per_second": None})
    lines, _ = recognise(folder, world.folder / "wide.mp4")
    assert [time for time, *_ in lines] == pytest.approx(np.arange(0, 90, 12) / 30, abs=0.006)


def test_files_without_timestamps_use_the_frame_rate_of_the_stream(world, tmp_path, recognise):
    raw = tmp_path / "raw.h264"
    write_video(raw, 40, rate=10, ticks=10, size=(240, 320), b_frames=0)
    lines, _ = recognise(world.export, raw)
    assert [time for time, *_ in lines] == pytest.approx(np.arange(20) / 5, abs=0.006)


@pytest.mark.parametrize("name", ["sound.wav", "text.mp4", "nowhere.mp4"])
def test_a_file_without_video_is_reported_in_one_sentence(world, tmp_path, name):
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    (tmp_path / "text.mp4").write_text("hello")
    done = subprocess.run([sys.executable, EXAMPLE, world.export, tmp_path / name], capture_output=True, text=True)
    expected = "has no video stream" if name == "sound.wav" else "cannot be read"
    assert done.returncode == 1 and expected in done.stderr and done.stderr.count("\n") == 1


def test_a_student_without_classes_is_reported_in_one_sentence(world, tmp_path):
    folder, video = altered(world, tmp_path / "export", {}, classes=[]), world.folder / "wide.mp4"
    done = subprocess.run([sys.executable, EXAMPLE, folder, video], capture_output=True, text=True)
    assert done.returncode == 1 and "was trained without classes" in done.stderr and done.stderr.count("\n") == 1


def test_the_example_is_short_and_needs_three_libraries():
    tree = ast.parse(EXAMPLE.read_text())
    lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    assert len(lines) <= 76
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"av", "numpy", "onnxruntime"}
