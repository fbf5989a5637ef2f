"""The teachers of this package pass the conformance tests."""

import json
from pathlib import Path

import pytest

from embedonce.pipeline.teachers import registry
from embedonce.pipeline.teachers.modules import model_of_module
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherLoader, TeacherOptions, TextTeacher
from tests.models.teachers.test_families import SIGLIP
from tests.models.teachers.test_teacher import SMALL
from tests.support.conformance.teacher import TeacherConformance
from tests.support.fake_teacher import FakeTeacher
from tests.support.own_teachers import BARE, write_onnx, write_torchscript

SQUASHED = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
SIGMOID = {"model_cfg": SIGLIP, "preprocess_cfg": SQUASHED}


class FakeLoader(TeacherLoader):
    def load(self, options: TeacherOptions) -> FakeTeacher:
        return FakeTeacher()


class TestFakeTeacher(TeacherConformance):
    loader, options = FakeLoader(), TeacherOptions("fake")


@pytest.mark.integration
class TestDemoTeacher(TeacherConformance):
    loader, options = loader_of("demo-clip"), TeacherOptions("demo-clip", device="cpu")


class OfConfiguration(TeacherConformance):
    """A model from a configuration file, with random weights. document: the content of the file."""

    loader, document = loader_of("model.json"), SMALL

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def configuration(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("models") / "model.json"
        path.write_text(json.dumps(cls.document))
        cls.options = TeacherOptions(str(path), "random", device="cpu", seed=3)


class TestSmallOpenClipModel(OfConfiguration):
    pass


class TestSigmoidModel(OfConfiguration):
    """A small SigLIP with CLIP's tokenizer."""

    document = SIGMOID


class TestTimm(TeacherConformance):
    loader, options = loader_of("timm:any"), TeacherOptions("timm:test_vit", "random", device="cpu")

    def test_what_is_known_before_loading_agrees_with_the_identity(self):
        self.loader.check_options(self.options)
        assert not self.loader.has_text_tower


class TestOnnx(TeacherConformance):
    loader = loader_of("onnx")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def file(cls, tmp_path_factory):
        path = write_onnx(tmp_path_factory.mktemp("models") / "small.onnx")
        cls.options = TeacherOptions("onnx", str(path), device="cpu")


class TestOnnxOfAFixedBatch(TeacherConformance):
    loader = loader_of("onnx")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def file(cls, tmp_path_factory):
        path = write_onnx(tmp_path_factory.mktemp("models") / "four.onnx", batch=4)
        cls.options = TeacherOptions("onnx", str(path), device="cpu")


class TestTorchScript(TeacherConformance):
    loader = loader_of("torchscript")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def file(cls, tmp_path_factory):
        path = write_torchscript(tmp_path_factory.mktemp("models") / "small.pt")
        cls.options = TeacherOptions("torchscript", str(path), device="cpu", input_size=32)


class TestFunctionOfAFile(TeacherConformance):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def file(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("modules") / "mine.py"
        path.write_text(BARE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "_LOADERS", registry.registered())
            name = model_of_module(Path(f"{path}:build"), None)
            cls.loader, cls.options = loader_of(name), TeacherOptions(name, device="cpu")


@pytest.mark.integration
def test_the_demo_teacher_has_a_text_tower():
    assert isinstance(loader_of("demo-clip").load(TeacherOptions("demo-clip", device="cpu")), TextTeacher)
