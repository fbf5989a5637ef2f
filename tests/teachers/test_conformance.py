"""The teachers of this package pass the conformance tests."""

import json

import pytest

from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherLoader, TeacherOptions, TextTeacher
from tests.models.teachers.test_teacher import SMALL
from tests.support.conformance.teacher import TeacherConformance
from tests.support.fake_teacher import FakeTeacher


class FakeLoader(TeacherLoader):
    def load(self, options: TeacherOptions) -> FakeTeacher:
        return FakeTeacher()


class TestFakeTeacher(TeacherConformance):
    loader, options = FakeLoader(), TeacherOptions("fake")


@pytest.mark.integration
class TestDemoTeacher(TeacherConformance):
    loader, options = loader_of("demo-clip"), TeacherOptions("demo-clip", device="cpu")


class TestSmallOpenClipModel(TeacherConformance):
    """A model from a configuration file, with random weights."""

    loader = loader_of("small.json")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def configuration(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("models") / "small.json"
        path.write_text(json.dumps(SMALL))
        cls.options = TeacherOptions(str(path), "random", device="cpu", seed=3)


@pytest.mark.integration
def test_the_demo_teacher_has_a_text_tower():
    assert isinstance(loader_of("demo-clip").load(TeacherOptions("demo-clip", device="cpu")), TextTeacher)
