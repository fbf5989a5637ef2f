"""ONNX and TorchScript files as teachers: their pixels, their identity, and what is said about wrong ones."""

import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from embedonce.models.errors import ModelError
from embedonce.models.preprocessing import CLIP, EXAMPLE
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherOptions, TextTeacher
from tests.support.own_teachers import DIM, SIZE, Program, expected, write_onnx, write_torchscript

FULL = EXAMPLE.replace("squash", "shortest").replace("bicubic", "bilinear")


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def load(path, kind: str = "onnx", **options):
    given = {"device": "cpu", "preprocess": FULL} | ({"input_size": SIZE} if kind == "torchscript" else {}) | options
    return loader_of(kind).load(TeacherOptions(kind, str(path), **given))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_a_graph_embeds_any_number_of_images(tmp_path, batch):
    teacher, images = load(write_onnx(tmp_path / "a.onnx", batch)), crops(6)
    np.testing.assert_allclose(teacher.embed(images), expected(images, (0.5,) * 3, (0.5,) * 3), atol=1e-5)
    identity = teacher.identity
    assert (identity.name, identity.weights, identity.input_size, identity.embed_dim) == ("onnx", "file", SIZE, DIM)
    assert (identity.interpolation, identity.resize_mode) == ("bilinear", "shortest")
    assert not isinstance(teacher, TextTeacher)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_program_of_torchscript_embeds_any_number_of_images(tmp_path, batch, frozen):
    teacher, images = load(write_torchscript(tmp_path / "a.pt", None, batch, frozen), "torchscript"), crops(5)
    np.testing.assert_allclose(teacher.embed(images), expected(images, (0.5,) * 3, (0.5,) * 3), atol=1e-5)
    assert teacher.identity.parameters_image == 48 * DIM


class ForOne(Program):
    """Works for one image at a time only, as what was traced with its shape written down."""

    def forward(self, images):
        return super().forward(images.reshape(1, 3, SIZE, SIZE))


def test_a_program_traced_for_one_image_gets_one_at_a_time(tmp_path):
    teacher, images = load(write_torchscript(tmp_path / "a.pt", ForOne(), 1), "torchscript"), crops(3)
    np.testing.assert_allclose(teacher.embed(images), expected(images, (0.5,) * 3, (0.5,) * 3), atol=1e-5)


def test_a_program_is_not_refused_because_memory_ran_out(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    path = write_torchscript(tmp_path / "a.pt", None, 1, False)
    monkeypatch.setattr(torch.jit, "load", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        load(path, "torchscript")
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: torch.nn.Module())
    monkeypatch.setattr(torch.nn.Module, "__call__", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        load(path, "torchscript")


def test_what_a_file_does_not_say_is_assumed_aloud(tmp_path, caplog):
    teacher = load(write_onnx(tmp_path / "a.onnx", side="side"), preprocess=None, input_size=SIZE)
    assert (teacher.identity.mean, teacher.identity.std) == (CLIP.mean, CLIP.std)
    assert "a.onnx does not say how its images are preprocessed: as for CLIP is assumed" in caplog.text
    assert "pixels are assumed" not in caplog.text
    caplog.clear()
    again = loader_of("onnx").load(TeacherOptions("onnx", str(tmp_path / "a.onnx"), cached=teacher.identity))
    assert again.identity == teacher.identity and caplog.text == ""  # the cache says it


def test_the_size_is_224_pixels_if_nothing_says_another(tmp_path, caplog):
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    teacher = load(write_torchscript(tmp_path / "any.pt", pooled), "torchscript", input_size=None)
    assert teacher.identity.input_size == 224 and "does not say its input size: 224 pixels are assumed" in caplog.text


def test_the_identity_is_of_weights_not_of_the_file(tmp_path):
    first = write_onnx(tmp_path / "a.onnx")
    model = onnx.load(first)
    model.producer_name, model.doc_string = "another", "saved again"
    onnx.save(model, tmp_path / "b.onnx")
    (tmp_path / "apart").mkdir()
    apart = write_onnx(tmp_path / "apart" / "c.onnx", external=True)
    other = write_onnx(tmp_path / "d.onnx", scale=1.001)
    hashes = [load(path).identity.weights_sha256 for path in (first, tmp_path / "b.onnx", apart, other)]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_the_identity_of_torchscript_has_its_constants(tmp_path):
    changed = Program()
    with torch.no_grad():
        changed.weights += 1e-3
    hashes = [
        load(write_torchscript(tmp_path / f"{number}.pt", module, frozen=frozen), "torchscript").identity.weights_sha256
        for number, (module, frozen) in enumerate([(None, False), (None, False), (changed, False)])
    ]
    frozen = [
        load(write_torchscript(tmp_path / f"f{number}.pt", module, frozen=True), "torchscript").identity.weights_sha256
        for number, module in enumerate((None, changed))
    ]
    assert hashes[0] == hashes[1] != hashes[2] and frozen[0] != frozen[1]


def missing_weights(folder):
    path = write_onnx(folder / "x.onnx", external=True)
    (folder / "weights.bin").unlink()
    return path


def damaged(folder):
    path = folder / "x.onnx"
    path.write_bytes(write_onnx(folder / "whole.onnx").read_bytes()[:200])
    return path


WRONG = {
    "damaged": (damaged, "x.onnx cannot be loaded as an ONNX model"),
    "weights missing": (missing_weights, "x.onnx cannot be loaded as an ONNX model: .*weights.bin"),
    "opset": (lambda f: write_onnx(f / "x.onnx", opset=99), "x.onnx cannot be loaded as an ONNX model: .*opset"),
    "channels": (lambda f: write_onnx(f / "x.onnx", channels=1), r"not \(B, 3, S, S\): square RGB images"),
    "integers": (lambda f: write_onnx(f / "x.onnx", kind=TensorProto.INT64), "x.onnx"),
    "two outputs": (lambda f: write_onnx(f / "x.onnx", more_outputs=True), "outputs vector, flat, 2 of them"),
    "random": (lambda f: write_onnx(f / "x.onnx", noise=True), "embeds the same images differently each time"),
    "NaN": (lambda f: write_onnx(f / "x.onnx", scale=float("nan")), "returned embeddings that are not finite"),
    "zeros": (lambda f: write_onnx(f / "x.onnx", scale=0.0), "returned embeddings that are not finite"),
    "absent": (lambda f: f / "absent.onnx", "absent.onnx: there is no such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_graphs_that_cannot_be_teachers_are_one_sentence(tmp_path, name):
    make, message = WRONG[name]
    with pytest.raises(ModelError, match=message) as caught:
        load(make(tmp_path))
    assert "\n" not in str(caught.value)


class Pair(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3)), images


class Noise(torch.nn.Module):
    def forward(self, images):
        return torch.rand_like(images[:, :, 0, 0]) - 0.5


def test_torchscript_programs_that_cannot_be_teachers_are_one_sentence(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    cases = {
        tmp_path / "text.pt": "cannot be loaded as a TorchScript program",
        write_torchscript(tmp_path / "pair.pt", Pair()): "returns a tuple, not one tensor",
        write_torchscript(tmp_path / "noise.pt", Noise()): "differently each time",
        write_torchscript(tmp_path / "map.pt", torch.nn.Identity()): "not one row for each",
    }
    for path, message in cases.items():
        with pytest.raises(ModelError, match=message) as caught:
            load(path, "torchscript")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"does not embed images of 48 pixels \(--teacher-input-size"):
        load(write_torchscript(tmp_path / "size.pt"), "torchscript", input_size=48)


def test_a_size_that_the_graph_does_not_have_is_refused(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="takes images of 32 pixels, not 64: leave out --teacher-input-size"):
        load(path, input_size=64)
    with pytest.raises(ModelError, match="'openai' names weights of open_clip"):
        load(path, preprocess="openai")
    with pytest.raises(ModelError, match="--teacher-activation is for models of open_clip"):
        load(path, activation="gelu")
    with pytest.raises(ModelError, match="the teacher of this cache is a file: name it with --teacher-onnx FILE"):
        loader_of("onnx").load(TeacherOptions("onnx", "file", cached=load(path).identity))


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    path = write_onnx(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"--teacher-onnx needs onnxruntime; .*pip install onnx onnxruntime"):
        load(path)


def test_a_gpu_needs_the_runtime_for_it(tmp_path, monkeypatch):
    from embedonce.pipeline.runtimes import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "has_gpu_support", lambda: False)
    with pytest.raises(ModelError, match="on --device cuda:1 needs a package: pip install onnxruntime-gpu"):
        load(write_onnx(tmp_path / "a.onnx"), device="cuda:1")
