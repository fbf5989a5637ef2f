"""Caches to search, and their teacher, which is loaded by its name and counts how often."""

import shutil
from pathlib import Path

import pytest

from embedonce.pipeline.teachers import registry
from embedonce.pipeline.teachers.teacher import Teacher, TeacherLoader, TeacherOptions
from tests.support.embedded_cache import make_extracted_cache
from tests.support.fake_teacher import FakeTeacher
from tests.support.forked_workers import forked
from tests.support.tiny_cache import make_tiny_cache


class FakeLoader(TeacherLoader):
    """Loads the teacher of the caches of tests, or another one if `changes` says so."""

    def __init__(self):
        self.loaded: list[TeacherOptions] = []
        self.changes: dict = {}
        self.teacher_type = FakeTeacher

    def load(self, options: TeacherOptions) -> Teacher:
        self.loaded.append(options)
        return self.teacher_type(**self.changes)


@pytest.fixture(autouse=True)
def loader(monkeypatch, tmp_path) -> FakeLoader:
    """The loader of the teacher; whatever searches store is in a folder of the test."""
    monkeypatch.setattr(registry, "_LOADERS", registry.registered())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    registry.register("fake", made := FakeLoader())
    return made


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """12 videos of 15 frames, of which every third is `val`. Not to be changed."""
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache")


@pytest.fixture
def own_tiny(tiny, tmp_path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(tiny, tmp_path / "own"))


@pytest.fixture(scope="session")
def extracted(tmp_path_factory) -> Path:
    """Two videos, a.mp4 and b.mp4, of 9 frames in two units, with a random view and zero-shot labels. Not to be
    changed."""
    with forked():
        return make_extracted_cache(tmp_path_factory.mktemp("extracted") / "cache")
