"""Exported students match the trained one or are not published; and the files that come with them."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from embedonce.cache import commit
from embedonce.cache.errors import DamagedError
from embedonce.cache.store import open_reader
from embedonce.models.names import MEAN, STUDENT_SIZES
from embedonce.models.student import VideoStudent, build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import CheckpointError, InputError, PipelineError
from embedonce.pipeline.export import export as stage
from embedonce.pipeline.export.export import export
from embedonce.pipeline.export.exported_student import ExportedStudent
from embedonce.pipeline.export.folder import MARK, check_folder, publish
from embedonce.pipeline.export.format import ExportInputs, RunnableStudent
from embedonce.pipeline.export.formats.onnx_fp16 import OnnxFloat16
from embedonce.pipeline.export.formats.onnx_fp32 import OnnxFloat32
from embedonce.pipeline.export.formats.onnx_graphs import OnnxFormat
from embedonce.pipeline.export.parity import EXACT, HALF, INT8, DivergedError, Parity, check_parity, measure_parity
from embedonce.pipeline.export.registry import FORMATS, format_names, load_format
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.weights import weight_files
from embedonce.pipeline.runtimes.onnx_runtime import Session
from tests.models.test_deploy import clips, student_of
from tests.support.export_facts import make_facts
from tests.support.small_student import SmallBackbone
from tests.support.tiny_cache import DIM, make_tiny_cache

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "recognise.py"
FACTS = make_facts(classes=list("abcdefg"))


@pytest.mark.slow
@pytest.mark.parametrize("size", STUDENT_SIZES)
def test_onnx_matches_pytorch_for_any_batch_size_and_clip_length(size):
    student = student_of(size)
    inputs = ExportInputs.of(student, FACTS, np.zeros((2, 3, 128, 128), np.uint8))
    check_lengths(student, load_format("fp32").write(inputs))


@torch.inference_mode()
def check_lengths(student, files: dict[str, bytes]) -> None:
    exported = ExportedStudent(load_format("fp32").load(files))
    for lengths in ((1,), (3, 1), (2, 5, 4)):
        found, expected = exported(*(inputs := clips(lengths=lengths))), student(*inputs)
        assert (found.clip_logits - expected.clip_logits).abs().max() <= 1e-4
        assert (found.clip_embedding - expected.clip_embedding).abs().max() <= 1e-4


def test_the_onnx_clip_head_of_a_student_without_attention_matches_pytorch():
    """The graph keeps its input of times, which it does not use."""
    torch.manual_seed(0)
    student = VideoStudent(student_config("tiny", DIM, 7, 128, pooling=MEAN), SmallBackbone()).eval()
    check_lengths(student, load_format("fp32").write(ExportInputs.of(student, FACTS, np.zeros((2, 3, 128, 128), "u1"))))


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A cache and a checkpoint. The head is scaled up: near ties would only test rounding."""
    folder = tmp_path_factory.mktemp("export")
    reader = open_reader(make_tiny_cache(folder / "cache"))
    torch.manual_seed(1)
    student = build_student(student_config("tiny", DIM, 3, 128), pretrained=False).eval()
    student.head[-1].weight.data *= 100
    meta = checkpoint.new_checkpoint(student, reader.label_set(), reader.identity.teacher, 2)
    checkpoint.save(folder / "best_student.pt", meta)
    return folder


def settings(place: Path, output: Path, **changes) -> ExportConfig:
    return ExportConfig(place / "cache", place / "best_student.pt", output, **changes)


@pytest.fixture(scope="module")
def exported(place):
    return export(settings(place, place / "out" / "made"))


def test_an_export_has_all_its_files_and_reports_parity(exported, place):
    names = {"frames.fp32.onnx", "frames.fp16.onnx", "frames.int8.onnx", "clip.onnx", "config.json", "README.md"}
    names |= {"model.safetensors", "student_parts.safetensors", "parity.json", "export_config.yaml", "source.json"}
    assert {path.name for path in exported.folder.iterdir()} == names
    assert [path.name for path in exported.folder.parent.iterdir()] == ["made"]  # no temporary folder is left
    assert exported.num_bytes["frames.fp16.onnx"] < 0.65 * exported.num_bytes["frames.fp32.onnx"]
    assert exported.num_bytes["frames.int8.onnx"] < 0.5 * exported.num_bytes["frames.fp32.onnx"]
    stored = json.loads((exported.folder / "parity.json").read_text())
    assert stored == {name: found.as_dict() for name, found in exported.parity.items()}
    assert stored["fp32"]["max_difference"] <= 1e-4 and stored["fp32"]["agreement"] == 1.0
    card = " ".join((exported.folder / "README.md").read_text().split())
    assert (
        "100.0 % for the teacher" in card and stored["fp32"]["top1"] < 1
    )  # from its cached logits, not from the student's
    assert "import embedonce" in card and "2 frames per second" in card
    assert "12 clips" in card and "red, green, blue" in card and f"{100 * stored['int8']['agreement']:.1f} %" in card


def test_exported_files_match_pytorch_for_any_batch_size_and_clip_length(exported, place):
    student, _ = checkpoint.load_student(place / "best_student.pt")
    files = {name: (exported.folder / name).read_bytes() for name in ("frames.fp32.onnx", "clip.onnx")}
    check_lengths(student, files)


def test_onnx_files_and_config_hold_settings_and_class_names(exported):
    for path in exported.folder.glob("*.onnx"):
        (held,) = [p.value for p in onnx.load(path).metadata_props if p.key == "embedonce"]
        facts = json.loads(held)
        assert facts["classes"] == ["red", "green", "blue"] and facts["frames_per_clip"] == 2
        assert facts["preprocessing"]["resolution"] == 128 and facts["preprocessing"]["crop"] == "center square"
        assert facts == json.loads((exported.folder / "config.json").read_text())["embedonce"]


def test_the_int8_file_has_integer_convolutions(exported):
    model = onnx.load(exported.folder / "frames.int8.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolved = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    assert any(node.op_type == "DequantizeLinear" for node in model.graph.node)
    assert convolved and not any(kinds.get(name) == onnx.TensorProto.FLOAT for name in convolved)


def test_safetensors_hold_all_weights_of_the_student(exported, place):
    student, _ = checkpoint.load_student(place / "best_student.pt")
    backbone, parts = (
        safetensors.torch.load_file(exported.folder / name)
        for name in ("model.safetensors", "student_parts.safetensors")
    )
    found = {f"backbone.{name}": tensor for name, tensor in backbone.items()} | parts
    assert found.keys() == student.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in student.state_dict().items())


def test_every_file_has_logits_that_are_divided_by_the_temperature(exported, place, tmp_path):
    """Also where it makes rounding errors twenty times larger. Top-1 stays, and the facts and the card say it."""
    student, meta = checkpoint.load_student(place / "best_student.pt")
    meta = dataclasses.replace(meta, calibration=SelectionCalibration(0.05, 30))
    checkpoint.save(tmp_path / "best_student.pt", meta)
    config = settings(place, tmp_path / "made", formats="fp32")
    found = export(dataclasses.replace(config, student_checkpoint=tmp_path / "best_student.pt"))
    assert found.parity["fp32"].top1 == exported.parity["fp32"].top1 and found.parity["fp32"].agreement == 1.0
    files = {name: (found.folder / name).read_bytes() for name in ("frames.fp32.onnx", "clip.onnx")}
    logits = ExportedStudent(OnnxFloat32().load(files))(*(inputs := clips())).clip_logits
    torch.testing.assert_close(logits * 0.05, student(*inputs).clip_logits, rtol=0, atol=1e-4)
    parts = safetensors.torch.load_file(found.folder / "student_parts.safetensors")
    torch.testing.assert_close(parts["head.3.bias"], student.head[-1].bias.data / 0.05)
    facts = json.loads((found.folder / "config.json").read_text())["embedonce"]
    assert facts["temperature"] == 0.05 and facts["format"] == 2
    card = " ".join((found.folder / "README.md").read_text().split())
    assert "softmax of the logits, which are divided by the temperature 0.05 already" in card
    undivided = " ".join((exported.folder / "README.md").read_text().split())
    assert "softmax of the logits, without a temperature. Prepare frames" in undivided
    assert json.loads((exported.folder / "config.json").read_text())["embedonce"]["temperature"] == 1.0


def test_limits_grow_with_the_logits_and_never_shrink():
    assert EXACT.for_temperature(0.1).max_difference == pytest.approx(1e-3)
    assert EXACT.for_temperature(10.0) == EXACT.for_temperature(1.0) == EXACT


@pytest.mark.parametrize("size", ["tiny", "xxs", "resnet10t", "lcnet050", "mnv3s100", "mnv4s100", "effvit_b0"])
def test_timm_loads_the_folder(tmp_path, size):
    import timm

    import embedonce  # noqa: F401 (as the card of a tiny student says)

    student = student_of(size)
    facts = make_facts(student=dataclasses.asdict(student.config))
    for name, data in weight_files(student, facts).items():
        (tmp_path / name).write_bytes(data)
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert loaded.pretrained_cfg["input_size"] == [3, 128, 128]
    with torch.inference_mode():
        images = torch.rand(1, 3, 128, 128)
        torch.testing.assert_close(loaded(images), student.backbone(images), rtol=1e-4, atol=1e-4)
    for name in ("first_conv", "classifier") if size != "tiny" else ():
        assert loaded.pretrained_cfg[name] == student.backbone.pretrained_cfg[name]


def test_executorch(place, tmp_path):
    pytest.importorskip("executorch", reason="executorch is an extra: pip install 'embedonce[mobile]'")
    found = export(settings(place, tmp_path / "mobile", formats="executorch", num_samples=6))
    assert found.parity["executorch"].max_difference <= 1e-4
    assert {"frames.pte", "clip.pte"} <= {path.name for path in found.folder.iterdir()}


def test_coreml(place, tmp_path):
    pytest.importorskip("coremltools", reason="coremltools is an extra: pip install 'embedonce[coreml]'")
    found = export(settings(place, tmp_path / "apple", formats="coreml", num_samples=6))
    assert found.parity["coreml"].agreement >= 0.98 and found.parity["coreml"].cosine > 0.999
    stored = json.loads((found.folder / "parity.json").read_text())["coreml"]
    assert stored["evaluated_by"] == "embedonce with PyTorch, not by Core ML"
    card = " ".join((found.folder / "README.md").read_text().split())
    assert "(`frames.mlpackage.zip` was evaluated by embedonce with PyTorch, not by Core ML)" in card
    assert "Converted and checked structurally; not run on an Apple device." in card


# -- the example -----------------------------------------------------------------------------------------------------


def test_the_example_prints_its_usage(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE, tmp_path, "v.mp4"], capture_output=True, text=True)
    assert done.returncode == 1 and "recognise.py EXPORT_FOLDER" in done.stderr and "Traceback" not in done.stderr


# -- errors -----------------------------------------------------------------------------------------------


def test_the_registered_formats_are_those_of_the_command_line():
    assert format_names() == ("fp32", "fp16", "int8", "executorch", "coreml", "web")
    assert [load_format(name).file_names[0] for name in FORMATS] == [
        *("frames.fp32.onnx", "frames.fp16.onnx", "frames.int8.onnx", "frames.pte", "frames.mlpackage.zip"),
        "web/frames.onnx",
    ]


def test_an_export_that_diverges_is_refused_and_the_previous_one_stays(place, exported, monkeypatch):
    files = {name: (exported.folder / name).read_bytes() for name in ("frames.fp32.onnx", "clip.onnx")}

    def shifted(self, files: dict[str, bytes]):
        runnable = OnnxFormat.load(self, files)
        return RunnableStudent(runnable.encode_frames, lambda *inputs: [out + 1e-3 for out in runnable.head(*inputs)])

    monkeypatch.setattr(OnnxFloat32, "write", lambda self, inputs: files)
    monkeypatch.setattr(OnnxFloat32, "load", shifted)
    before = {path: path.stat().st_mtime_ns for path in exported.folder.iterdir()}
    with pytest.raises(DivergedError, match=r"fp32 export differs from PyTorch on 12 clips: .* must be at most 0.0001"):
        export(settings(place, exported.folder, formats="fp32", overwrite=True))
    assert {path: path.stat().st_mtime_ns for path in exported.folder.parent.rglob("*.*")} == before


@pytest.mark.parametrize("bad", [{"max_difference": 2e-4}, {"agreement": 0.5}, {"cosine": 0.9}, {"cosine": np.nan}])
def test_each_limit_is_checked(bad):
    good = Parity(clips=9, max_difference=1e-6, rounding=1e-6, agreement=1.0, cosine=1.0, top1=None)
    check_parity("fp32", good, EXACT)
    check_parity("fp32", dataclasses.replace(good, max_difference=2e-4, rounding=1.5e-4), EXACT)
    with pytest.raises(DivergedError, match="nothing was written"):
        check_parity("fp32", dataclasses.replace(good, **bad), EXACT)


def test_each_format_has_its_own_limits():
    expected = {"fp32": EXACT, "fp16": HALF, "int8": INT8, "executorch": EXACT, "coreml": HALF, "web": EXACT}
    assert {name: load_format(name).limits for name in FORMATS} == expected
    bad = Parity(clips=9, max_difference=1.0, rounding=0.0, agreement=0.89, cosine=1.0, top1=None)
    for limits in (HALF, INT8):
        check_parity("x", dataclasses.replace(bad, agreement=0.99), limits)
        with pytest.raises(DivergedError, match=r"PyTorch's class is 0\.89"):
            check_parity("x", bad, limits)
        with pytest.raises(DivergedError, match=r"cosine of embeddings is 0\.96"):
            check_parity("x", dataclasses.replace(bad, agreement=0.99, cosine=0.96), limits)


def test_parity_of_a_hand_worked_case():
    def predictions(logits, embeddings):
        none = np.zeros((2, 0))
        return Predictions(np.array(logits, float), np.array(embeddings, float), none, none, np.array([1, 0]))

    trained = predictions([[0, 1], [1, 0]], [[1, 0], [0, 1]])
    exported = predictions([[0, 3], [0, 0.5]], [[0, 1], [0, 1]])
    found = measure_parity(exported, trained, predictions([[0, 1.25], [1, 0]], [[1, 0], [0, 1]]))
    assert found == Parity(clips=2, max_difference=2.0, rounding=0.25, agreement=0.5, cosine=0.5, top1=0.5)


@pytest.mark.parametrize("error", [MemoryError(), DamagedError("a frame"), OSError(28, "No space left on device")])
def test_errors_that_are_not_the_exporters_pass_unchanged(place, tmp_path, monkeypatch, error):
    def failing(self, inputs):
        raise error

    monkeypatch.setattr(OnnxFloat32, "write", failing)
    with pytest.raises(type(error)) as raised:
        export(settings(place, tmp_path / "new", formats="fp32", num_samples=2))
    assert raised.value is error and not list(tmp_path.iterdir())


def test_a_failing_exporter_is_reported_in_one_sentence(place, tmp_path, monkeypatch):
    def failing(self, inputs):
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(OnnxFloat16, "write", failing)
    with pytest.raises(PipelineError, match=r"the fp16 export failed, and nothing was written \(.*no such operator\)"):
        export(settings(place, tmp_path / "new", formats="fp16"))
    assert not list(tmp_path.iterdir())


def test_too_few_frames_to_calibrate_on_are_an_error(place, tmp_path):
    with pytest.raises(InputError, match=r"at least 8 frames, and there are 7; raise --calibration-frames"):
        export(settings(place, tmp_path / "new", formats="int8", num_samples=2, calibration_frames=7))
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_reported_before_any_work(place, tmp_path, monkeypatch):
    monkeypatch.setattr("embedonce.pipeline.runtimes.requirements.find_spec", lambda name: None)
    for name, library, extra in (("executorch", "executorch", "mobile"), ("coreml", "coremltools", "coreml")):
        with pytest.raises(InputError, match=rf"{name} needs {library}; install .* pip install 'embedonce\[{extra}\]'"):
            export(settings(place, tmp_path / "new", formats=name))
    assert not list(tmp_path.iterdir())


def test_folders_with_other_files_are_refused(place, exported, tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("notes", "mixed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best_student.pt").write_text("x")
    (tmp_path / "mixed" / MARK).write_text("x")
    folders = {
        tmp_path / "file": "is a file",
        tmp_path / "notes": "best_student.pt, which no export wrote",
        tmp_path / "mixed": "best_student.pt, which no export wrote",
    }
    for folder, message in folders.items():
        with pytest.raises(InputError, match=message):
            export(settings(place, folder, overwrite=True))
    with pytest.raises(InputError, match="give --overwrite"):
        export(settings(place, exported.folder))


def test_the_previous_export_is_restored_if_the_new_one_cannot_be_put_in_place(tmp_path, monkeypatch):
    folder, rename = tmp_path / "export", Path.rename
    publish(folder, {MARK: b"old"}, overwrite=False)

    def failing(self, target):
        if self.name.endswith(".partial"):
            raise OSError("power failure")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="power failure"):
        publish(folder, {MARK: b"new"}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["export"] and (folder / MARK).read_bytes() == b"old"


def test_the_folder_that_a_killed_export_moved_away_is_restored(tmp_path):
    publish(tmp_path / ".export.old", {MARK: b"old"}, overwrite=False)
    publish(tmp_path / ".export.partial", {MARK: b"half"}, overwrite=False)
    check_folder(tmp_path / "export", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export" / MARK).read_bytes() == b"old"


def test_an_export_published_meanwhile_is_not_replaced_without_overwrite(tmp_path):
    publish(tmp_path / "export", {MARK: b"another's"}, overwrite=False)
    with pytest.raises(InputError, match="give --overwrite"):
        publish(tmp_path / "export", {MARK: b"ours"}, overwrite=False)
    assert (tmp_path / "export" / MARK).read_bytes() == b"another's"


def test_exports_into_one_folder_run_one_after_the_other(tmp_path, monkeypatch):
    folder, write, started = tmp_path / "export", commit.replace, threading.Event()

    def slow(path, data):
        started.set()
        time.sleep(0.05)
        write(path, data)

    monkeypatch.setattr(commit, "replace", slow)
    names = (MARK, "README.md", "config.json")
    first = threading.Thread(target=publish, args=(folder, dict.fromkeys(names, b"first"), True))
    first.start()
    assert started.wait(10)
    publish(folder, dict.fromkeys(names, b"second"), overwrite=True)
    first.join()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == dict.fromkeys(names, b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_output_folder_may_be_a_symbolic_link(tmp_path, place, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    files = {f"frames.{kind}.onnx": b"" for kind in ("fp32",)}
    good = Parity(clips=1, max_difference=0.0, rounding=0.0, agreement=1.0, cosine=1.0, top1=None)
    monkeypatch.setattr(stage, "_write_formats", lambda *_: (files, {"fp32": good}))
    export(settings(place, tmp_path / "link", formats="fp32", num_samples=2))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / MARK).exists()


def test_int8_is_calibrated_on_training_frames(place):
    reader = open_reader(place / "cache")
    _, meta = checkpoint.load_student(place / "best_student.pt")
    config = settings(place, place / "x", calibration_frames=7)
    frames, split = stage._calibration(config, meta, reader, reader.label_set())
    everything = dataclasses.replace(config, calibration_frames=999)
    held_out, _ = stage._calibration(everything, meta, reader, _only(reader.label_set(), "val"))
    held = {item.tobytes() for item in held_out}
    assert split == "train" and len(frames) == 7 and not {item.tobytes() for item in frames} & held


def _only(labels, split: str):
    return dataclasses.replace(labels, clips=tuple(clip for clip in labels.clips if clip.split == split))


def test_a_student_with_nan_outputs_is_not_exported(place, tmp_path):
    content = checkpoint.load(place / "best_student.pt")
    content.model["head.0.bias"].fill_(torch.nan)
    checkpoint.save(tmp_path / "nan.pt", content)
    with pytest.raises(CheckpointError, match="outputs are NaN or infinite"):
        export(ExportConfig(place / "cache", tmp_path / "nan.pt", tmp_path / "out"))


@pytest.mark.parametrize("wrong", ["", "fp64", "fp32,fp32"])
def test_unknown_or_repeated_formats_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="--formats must be one or more of fp32, fp16, int8, executorch, coreml"):
        ExportConfig(tmp_path, tmp_path, tmp_path, formats=wrong)


def test_sessions_return_outputs_by_name(exported):
    session = Session((exported.folder / "frames.fp32.onnx").read_bytes(), threads=1)
    found = session(frames=np.zeros((1, 3, 128, 128), np.uint8))
    assert {name: array.shape for name, array in found.items()} == {"features": (1, DIM), "embeddings": (1, DIM)}
