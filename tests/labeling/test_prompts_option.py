"""The option --prompts: label sets with prompts from a file, what is stored, printed and refused before any work."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from embedonce.cache.inspect import SHOWN_CLASSES, SHOWN_PROMPTS, prompt_lines
from embedonce.cache.labels import LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.label_requests import checked_requests, chosen_prompts
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.prompts.class_prompts import prompts_sha256
from embedonce.pipeline.labeling.prompts.prompt_files import PromptFile, read_prompts
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.teachers.teacher import LongTexts
from tests.commands.test_cli import call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import CLASSES, make_tiny_cache

PROMPTS = {"templates": ["a {} thing", "{}"], "classes": {"blue": ["the sky", "the sea"]}}
TEXTS = (("a red thing", "red"), ("a green thing", "green"), ("the sky", "the sea"))


class NoImages(FakeTeacher):
    def embed(self, crops):
        raise AssertionError("an image was embedded")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: NoImages())
    return make_tiny_cache(tmp_path / "cache", 4)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(PROMPTS))
    return path


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_relabel_makes_a_label_set_of_the_same_classes_with_the_prompts_of_a_file(cache, file, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    output = call("relabel", "--cache-dir", cache, "--prompts", file)
    assert "label set mine: 3 classes" in output
    assert "mine.json: 2 classes have no prompts of their own, but the templates: 'red', 'green'" in caplog.text
    reader = open_reader(cache)
    labels = reader.label_set("mine")
    assert (labels.classes, labels.prompts, labels.kind) == (CLASSES, TEXTS, "zero-shot")
    assert labels.facts == {"prompts_from": "mine.json", "prompts_sha256": prompts_sha256(CLASSES, TEXTS)}
    assert reader.head("mine")["class_text"] == pytest.approx(FakeTeacher().class_text(TEXTS)[0])
    before = files(cache / "labels")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PROMPTS))
    again = ["relabel", "--cache-dir", cache, "--clips-from", "tiny", "--prompts"]
    call(*again, tmp_path / "mine.yaml")  # the same prompts
    file.write_text('["{}"]')
    assert "label set 'mine' of this cache was made from other prompts" in error_of(*again, file, code=4)
    file.write_text('["{foo}"]')
    assert f"{file}: [0]: '{{foo}}' has the unknown placeholder {{foo}}" in error_of(*again, file, code=2)
    assert files(cache / "labels") == before


def test_prompts_are_written_to_a_file_that_relabel_reads(cache, file, tmp_path):
    call("relabel", "--cache-dir", cache, "--prompts", file)
    written, show = tmp_path / "all.json", ["inspect-cache", "--cache-dir", cache]
    assert "several label sets; choose one" in error_of(*show, "--json", written, code=4)
    assert "'tiny' (fitted) has no prompts" in error_of(*show, "--json", written, "--label-set", "tiny", code=2)
    output = call(*show, "--json", written, "--label-set", "mine", "--prompts")
    assert f"prompts: {written}" in output and "mine, from mine.json, 3 classes, 6 prompts:\n  red\n    a red" in output
    assert read_prompts(written).classes == {name: tuple((t,) for t in TEXTS[i]) for i, name in enumerate(CLASSES)}
    call(*show, "--json", written, "--label-set", "mine")  # unchanged
    written.write_text(written.read_text().replace("sea", "lake"))
    assert "was changed since then" in error_of(*show, "--json", written, "--label-set", "mine", code=2)
    assert "lake" in written.read_text()
    call(*show, "--json", written, "--label-set", "mine", "--overwrite")
    assert "lake" not in written.read_text()


def test_few_of_many_prompts_are_printed(tmp_path):
    writer = open_writer(make_tiny_cache(tmp_path / "c", 1), open_reader(tmp_path / "c").identity)
    names = tuple(f"class {i}" for i in range(SHOWN_CLASSES + 2))
    prompts = (tuple(f"text {i}" for i in range(SHOWN_PROMPTS + 7)), *((f"a {name}",) for name in names[1:]))
    writer.create_label_set(LabelSet("many", "none", names, prompts, None, {}), None)
    writer.close()
    lines = prompt_lines(tmp_path / "c", "many")
    assert lines[0] == f"prompts of label set many, 102 classes, {SHOWN_PROMPTS + 7 + 101} prompts:"
    assert lines[10:14] == ["    text 8", "    text 9", "    … 7 more", "  class 1"]
    assert lines[-2:] == ["    a class 99", "  … 2 more classes"]


def test_a_bad_file_is_refused_before_synthetic_videos_are_written(tmp_path):
    (tmp_path / "p.txt").write_text("a photo\n")
    places = ["--data-dir", tmp_path / "data", "--cache-dir", tmp_path / "cache"]
    message = error_of("extract-teacher", "--use-synthetic", *places, "--prompts", tmp_path / "p.txt", code=2)
    assert "p.txt: line 1: 'a photo' has no {} for the class name" in message
    assert [path.name for path in tmp_path.iterdir()] == ["p.txt"]


def test_an_extraction_takes_its_prompts_from_the_file(tmp_path, file):
    config = ExtractConfig(None, True, tmp_path / "cache", prompts=file)
    source = Source(None, "folder", (), (), CLASSES, named_by="folders")
    (request,) = checked_requests(config, {"": source}, chosen_prompts(config))
    assert request.labels.prompts == TEXTS and request.labels.facts["prompts_from"] == "mine.json"
    assert chosen_prompts(ExtractConfig(None, True, tmp_path / "cache")) is None


@pytest.mark.parametrize("kind", [RelabelConfig, ExtractConfig])
def test_prompts_that_would_not_be_used_are_refused(kind, tmp_path, file):
    usual = {"cache_dir": tmp_path, "prompts": file}
    usual |= {"data_dir": tmp_path, "use_synthetic": False} if kind is ExtractConfig else {}
    assert kind(**usual).prompts == file
    with pytest.raises(ValueError, match="--prompts is for --teacher-head zero-shot; --teacher-head fitted uses none"):
        kind(**usual, teacher_head="fitted")
    with pytest.raises(ValueError, match="--prompts replaces the built-in wordings"):
        kind(**usual, prompt_style="v1")


def requested(classes: tuple[str, ...], prompts: PromptFile, named_by: str = "folders"):
    source = Source(None, "folder", (), (), classes, named_by=named_by)
    return request_label_set(source, "", "zero-shot", "x", prompts=prompts)


def test_prompts_without_classes_are_refused():
    with pytest.raises(InputError, match=r"p.txt: --prompts needs classes, and the data has none: give --classes FILE"):
        requested((), PromptFile("p.txt", (("a ", ""),)))


def test_classes_with_the_same_prompts_are_named_before_the_teacher_is_loaded(caplog):
    own = {"cup": (("a mug",), ("x",)), "mug": (("x",), ("a mug",)), "pan": (("x",),)}
    assert requested(("cup", "mug", "pan"), PromptFile("p", (), own)).labels.prompts[0] == ("a mug", "x")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("class prompts are the same for 'cup' and 'mug': their soft logits are equal")


def test_names_that_are_codes_matter_only_where_prompts_contain_them():
    own = {"c042": (("opening a door",),), "cut": (("a ", ""),)}
    requested(("c042", "cut"), PromptFile("p", (("a ", ""),), own))
    with pytest.raises(InputError, match=r"1 of 3 class names are codes \('c043'\).*, --prompts FILE with prompts"):
        requested(("c042", "c043", "cut"), PromptFile("p", (("a ", ""),), own))


def test_prompts_that_are_too_long_are_reported_with_their_classes(caplog):
    class Short(FakeTeacher):
        def long_texts(self, prompts):
            long = [(i, t, len(t.split())) for i, texts in enumerate(prompts) for t in texts if len(t.split()) > 3]
            return LongTexts(len(long) + 1, 3, tuple(long))

    request = requested(("cup", "pan"), PromptFile("p", (("one two three ", ""), ("a ", ""))))
    assert with_class_text(request, Short()).labels.logit_scale == 100.0
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "3 prompts are longer than the 3 tokens that the teacher reads, and their ends are cut off: class 'cup', 4 "
        "tokens: 'one two three cup'; class 'pan', 4 tokens: 'one two three pan'; …"
    )
    caplog.clear()
    with_class_text(request, FakeTeacher())  # which does not know
    assert caplog.records == []
