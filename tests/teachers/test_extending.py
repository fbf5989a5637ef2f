"""The teacher of docs/extending.md passes the conformance tests and works in all commands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction.estimates import overhead_bytes_per_row
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.teachers import registry
from embedonce.pipeline.teachers.teacher import TeacherLoader, TeacherOptions
from tests.commands.test_cli import call, error_of
from tests.support.conformance.teacher import TeacherConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.videos import write_actions

pytestmark = pytest.mark.usefixtures("forked_workers")

EXAMPLE = code_blocks(ROOT / "docs" / "extending.md", "Teacher")[0]


TEXT_TOWER = """

class WithText(Projection):
    def class_text(self, prompts):
        return np.eye(len(prompts), DIM, dtype=np.float32), 7.0

    def drop_text_tower(self):
        pass


class WithTextLoader(TeacherLoader):
    def load(self, options):
        return WithText(options.model)


register("with-text", WithTextLoader())
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_LOADERS", dict(registry._LOADERS))


@pytest.fixture
def new_process(own_registry, monkeypatch):
    """Call it to forget all registered teachers, as in a new process."""
    builtin = dict(registry._LOADERS)
    return lambda: monkeypatch.setattr(registry, "_LOADERS", dict(builtin))


@pytest.fixture
def module(tmp_path) -> Path:
    path = tmp_path / "projection.py"
    path.write_text(EXAMPLE)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_actions(tmp_path_factory.mktemp("videos"), 3, 60)


class TestDocumentedTeacher(TeacherConformance):
    options = TeacherOptions("projection")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def documented_loader(cls):
        namespace: dict = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "_LOADERS", dict(registry._LOADERS))
            exec(EXAMPLE, namespace)
            cls.loader = registry.loader_of("projection")


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 40


def recomputed(reader: CacheReader, teacher) -> list[np.ndarray]:
    """Embeddings of view 0 of every stored frame, computed from the stored pixels."""
    vectors = []
    for unit, record in reader.records.items():
        shard, size = reader.frames(unit), teacher.identity.input_size
        crops = [
            canonical_frame.replay(shard.jpeg(row), reader.views_of(unit, row), size)[0]
            for row in range(record.num_rows)
        ]
        vectors.append(teacher.embed(np.stack(crops)))
    return vectors


@pytest.mark.integration
def test_the_documented_teacher_extracts_relabels_and_verifies(module, videos, tmp_path, new_process):
    cache = tmp_path / "cache"
    shown = call(
        "extract-teacher", "--data-dir", videos, "--cache-dir", cache, "--teacher-module", module,
        "--teacher-head", "fitted", "--views", "0",
    )  # fmt: skip
    assert "label set fitted: 2 classes, 6 clips" in shown
    reader = open_reader(cache)
    assert reader.identity.teacher.name == "projection" and reader.identity.teacher.embed_dim == 32
    stored = [reader.frames(unit).embeddings(0, record.num_rows, 0) for unit, record in reader.records.items()]
    expected = recomputed(reader, registry.loader_of("projection").load(TeacherOptions("projection")))
    np.testing.assert_allclose(np.concatenate(stored), np.concatenate(expected), atol=1e-3)
    provenance = next(iter(reader.records.values())).provenance
    assert {"device": "cpu", "precision": "float32"}.items() <= provenance.items()

    (tmp_path / "names.txt").write_text("bread\npot\n")
    mine = ["--cache-dir", cache, "--teacher-module", module]
    call("relabel", *mine, "--classes", tmp_path / "names.txt", "--teacher-head", "none")
    assert open_reader(cache).label_set("names").classes == ("bread", "pot")
    assert verify(cache, canonical_frame.replayed_crc32).problems == []
    new_process()
    assert "embedded 4 rows again: cosine 1.0" in call("verify-cache", *mine, "--recompute", 4)

    shown = call(
        "extract-teacher", "--data-dir", videos, *mine, "--teacher-head", "fitted", "--views", "0"
    )  # takes up the cache
    assert "label set fitted: 2 classes, 6 clips" in shown


@pytest.mark.integration
def test_a_teacher_with_a_text_tower_gives_zero_shot_logits(module, videos, tmp_path, new_process):
    module.write_text(EXAMPLE + TEXT_TOWER)
    cache = tmp_path / "cache"
    arguments = ["--cache-dir", cache, "--teacher-module", module]
    call("extract-teacher", "--data-dir", videos, *arguments, "--teacher-model", "with-text")
    (tmp_path / "names.txt").write_text("bread\npot\n")
    new_process()
    assert "open_clip has no model 'with-text'" in error_of(
        "relabel", "--cache-dir", cache, "--classes", tmp_path / "names.txt"
    )
    call("relabel", *arguments, "--classes", tmp_path / "names.txt")
    reader = open_reader(cache)
    labels = reader.label_set("names")
    assert labels.kind == "zero-shot" and labels.logit_scale == 7.0
    unit = next(iter(reader.records))
    expected = 7.0 * reader.all_embeddings(unit)[:, :, :2].astype(np.float32)  # class vectors are unit vectors
    np.testing.assert_allclose(reader.all_logits("names", unit), expected, atol=0.02)


@pytest.mark.integration
def test_zero_shot_logits_need_a_text_tower(module, videos, tmp_path):
    """Refused before anything is written, and with the way out."""
    cache = tmp_path / "cache"
    arguments = ["--cache-dir", cache, "--teacher-module", module]
    asked = [*arguments, "--teacher-head", "zero-shot"]
    message = error_of("extract-teacher", "--data-dir", videos, *asked)
    assert message == (
        "the teacher projection has no text tower, which zero-shot logits need: use --teacher-head fitted or "
        "--teacher-head none"
    )
    assert not cache.exists()
    call("extract-teacher", "--data-dir", videos, *arguments, "--teacher-head", "none")
    (tmp_path / "names.txt").write_text("bread\npot\n")
    assert error_of("relabel", *asked, "--classes", tmp_path / "names.txt") == message
    assert open_reader(cache).label_sets() == ("none",)
    call("extract-teacher", "--data-dir", videos, *arguments)  # by default a fitted head takes their place
    assert open_reader(cache).label_set("fitted").kind == "fitted"
    unlabeled = ["--clips-from", "none", "--classes", tmp_path / "names.txt"]
    call("relabel", *arguments, *unlabeled)
    assert open_reader(cache).label_set("names").kind == "none"


@pytest.mark.integration
def test_a_dry_run_times_the_teacher_itself(module, videos, tmp_path):
    arguments = ["--data-dir", videos, "--cache-dir", tmp_path / "cache", "--teacher-module", module]
    shown = call("extract-teacher", *arguments, "--teacher-head", "none", "--dry-run")
    assert "frames: 24 to extract" in shown and "teacher 0 s" in shown


def test_mistakes_with_a_teacher_module_are_one_sentence(module, videos, tmp_path):
    arguments = ["extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "cache", "--teacher-module"]
    assert "absent.py: there is no such file" in error_of(*arguments, tmp_path / "absent.py")
    (tmp_path / "teacher.txt").write_text(EXAMPLE)
    assert "teacher.txt is not a Python file (.py)" in error_of(*arguments, tmp_path / "teacher.txt")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_package_at_all\n")
    assert "broken.py cannot be imported: ModuleNotFoundError: No module named" in error_of(*arguments, broken)
    broken.write_text("x = (\n")
    assert "broken.py cannot be imported: SyntaxError: '(' was never closed" in error_of(*arguments, broken)
    broken.write_text("def make():\n    return 1 / 0\n\nmake()\n")
    told = error_of(*arguments, broken)
    assert "broken.py cannot be imported: ZeroDivisionError: division by zero (line 2)" in told
    broken.write_text("x = 1\n")
    assert "broken.py registers no teacher: call embedonce.pipeline.teachers.registry.register(" in error_of(
        *arguments, broken
    )
    module.write_text(EXAMPLE + 'register("other", ProjectionLoader())\n')
    assert "registers projection, other: choose one with --teacher-model NAME" in error_of(*arguments, module)
    assert "registers projection, other, not 'RN50': choose one" in error_of(
        *arguments, module, "--teacher-model", "RN50"
    )


@pytest.mark.integration
def test_a_part_after_a_colon_belongs_to_the_loader(module, videos, tmp_path):
    arguments = ["--data-dir", videos, "--cache-dir", tmp_path / "cache", "--teacher-module", module]
    call("extract-teacher", *arguments, "--teacher-head", "none", "--teacher-model", "projection:small")
    assert open_reader(tmp_path / "cache").identity.teacher.name == "projection:small"


@pytest.mark.integration
def test_a_loader_must_find_its_teacher_again_by_name(module, videos, tmp_path):
    module.write_text(EXAMPLE.replace("Projection(options.model)", 'Projection("something-else")'))
    arguments = ["--data-dir", videos, "--cache-dir", tmp_path / "cache", "--teacher-module", module]
    message = error_of("extract-teacher", *arguments, "--teacher-head", "none")
    assert "loaded for 'projection' has the name 'something-else', under which it is not registered" in message


def test_estimates_use_the_shape_of_the_loader(monkeypatch, tmp_path):
    class Wide(TeacherLoader):
        def load(self, options):
            raise AssertionError("an estimate needs no weights")

        def shape(self, model):
            return 64, 1000

    registry.register("wide", Wide())
    config = ExtractConfig(tmp_path, False, tmp_path / "c", teacher_model="wide:any", views=0)
    demo = replace(config, teacher_model="demo-clip")
    assert overhead_bytes_per_row(config) - overhead_bytes_per_row(demo) == 2 * (1000 - 512)


@pytest.mark.parametrize("name", ["", "open_clip", "a:b", "mine.json", "../x"])
def test_names_that_could_mean_something_else_are_not_registered(name):
    with pytest.raises(ValueError, match="a teacher cannot be registered as"):
        registry.register(name, registry.loader_of("open_clip"))


PREPARING = """
import threading
from pathlib import Path


class Prepared(ProjectionLoader):
    def prepare(self):
        import os
        if os.environ.get("REFUSED"):
            from embedonce.models.errors import ModelError
            raise ModelError("a package is missing")
        Prepared.thread = threading.current_thread()

    def load(self, options):
        assert Prepared.thread is not threading.current_thread()
        return super().load(options)


register("projection", Prepared())
"""


def test_what_a_teacher_needs_is_imported_in_a_thread_before_it_is_loaded(module, videos, tmp_path, monkeypatch):
    loader = next(line.split()[1].partition("(")[0] for line in EXAMPLE.splitlines() if "(TeacherLoader)" in line)
    module.write_text(EXAMPLE + PREPARING.replace("ProjectionLoader", loader))
    arguments = ("extract-teacher", "--data-dir", videos, "--teacher-module", module, "--teacher-head", "none")
    call(*arguments, "--cache-dir", tmp_path / "c")
    monkeypatch.setenv("REFUSED", "1")
    assert error_of(*arguments, "--cache-dir", tmp_path / "refused", code=5) == "a package is missing"
