"""A teacher in ONNX Runtime embeds like the one in PyTorch, or is refused before it embeds anything."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import ONNX
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.extraction.teacher_check import MIN_COSINE, cosines
from embedonce.pipeline.runtimes import requirements
from embedonce.pipeline.teachers import onnx_tower
from embedonce.pipeline.teachers.onnx_tower import check_onnx_runtime, onnx_encoder, use_onnx_runtime
from embedonce.pipeline.teachers.open_clip import OpenClipLoader
from embedonce.pipeline.teachers.teacher import TeacherOptions
from tests.commands.test_cli import error_of
from tests.extraction.test_runner import make_source, run
from tests.models.teachers.test_teacher import SMALL
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")
LOADER = OpenClipLoader()


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> TeacherOptions:
    path = tmp_path_factory.mktemp("configs") / "small-clip.json"
    path.write_text(json.dumps(SMALL))
    return TeacherOptions(str(path), "random", device="cpu", runtime=ONNX)


@pytest.fixture(scope="module")
def teachers(options):
    """(in PyTorch, in ONNX Runtime)."""
    return LOADER.load(replace(options, runtime="pytorch")), LOADER.load(options)


def test_embeddings_are_those_of_pytorch_for_any_number_of_images(teachers):
    eager, onnx = teachers
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    for count in (1, 2, 5):
        np.testing.assert_allclose(onnx.embed(crops[:count]), eager.embed(crops[:count]), rtol=0, atol=1e-5)
    assert onnx.identity == eager.identity
    assert onnx.device_facts() == eager.device_facts() | {"runtime": "onnx"} and "runtime" not in eager.device_facts()


def test_texts_still_need_pytorch_and_are_the_same_and_can_be_dropped(teachers, options):
    eager, onnx = teachers[0], LOADER.load(options)
    np.testing.assert_array_equal(onnx.class_text([["a dog"]])[0], eager.class_text([["a dog"]])[0])
    onnx.drop_text_tower()
    crops = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(onnx.embed(crops), eager.embed(crops), rtol=0, atol=1e-5)


@pytest.mark.integration
def test_a_cache_made_in_one_runtime_is_continued_in_the_other(teachers, tmp_path):
    (tmp_path / "v").mkdir()
    for name in "ab":
        write_video(tmp_path / f"v/{name}.mp4", 20)
    for first, second in (teachers, teachers[::-1]):
        cache = tmp_path / second.device_facts().get("runtime", "pytorch")
        run(make_source(tmp_path / "v", ["a"]), cache, teacher=first)
        result, reader, _ = run(make_source(tmp_path / "v", ["a", "b"]), cache, teacher=second)
        assert result.committed == 2
        runtimes = [record.provenance.get("runtime") for record in reader.records.values()]
        assert set(runtimes) == {None, "onnx"}
        rows = [(unit, row) for unit, record in reader.records.items() for row in range(record.num_rows)]
        assert cosines(open_reader(cache), first, rows).min() > MIN_COSINE


def test_a_runtime_that_changes_embeddings_is_refused(options, monkeypatch):
    teacher = LOADER.load(replace(options, runtime="pytorch"))
    clip = teacher._clip
    other = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        onnx_tower, "onnx_encoder", lambda tower, size: lambda images: torch.randn(len(images), 24, generator=other)
    )
    with pytest.raises(ModelOptionError, match=r"does not reproduce .* \(cosine .*leave out --teacher-runtime onnx"):
        use_onnx_runtime(clip)
    assert clip.runtime == "pytorch"


def test_what_cannot_be_exported_is_refused_in_one_sentence():
    class Branching(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    with pytest.raises(
        PipelineError, match=r"ONNX Runtime cannot run this teacher .*; leave out --teacher-runtime onnx"
    ):
        onnx_encoder(Branching().eval(), 8)


def test_the_time_of_an_image_is_that_of_the_runtime(options):
    assert LOADER.time_per_image(options).sec > 0


def test_a_gpu_and_missing_libraries_are_refused(monkeypatch):
    check_onnx_runtime("cpu")
    with pytest.raises(ModelOptionError, match="computes on the CPU, not on cuda: add --device cpu"):
        check_onnx_runtime("cuda")
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--teacher-runtime onnx needs onnx, onnxscript, onnxruntime; install"):
        check_onnx_runtime("cpu")


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_teacher_of_ones_own_has_no_other_runtime(tmp_path, more):
    from tests.support import fake_teacher_module

    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v/a.mp4", 5)
    module = Path(fake_teacher_module.__file__)
    words = ["--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "c", "--teacher-module", module, "--device", "cpu"]
    message = error_of(
        "extract-teacher", *words, "--teacher-model", "told:x", "--teacher-runtime", "onnx", *more, code=2
    )
    assert "--teacher-runtime onnx is for open_clip's models, not for the teacher 'told:x'" in message
