"""Folder layouts, class names and class tables, from the command line to the contents of the cache."""

import json
import os
import subprocess
import sys

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.naming.uids import is_shortened
from embedonce.pipeline.teachers.teacher import CallTime
from tests.commands.test_cli import ROOT, call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(autouse=True)
def loaded(monkeypatch) -> list:
    """The teachers that were loaded, all of them fake."""
    teachers = []
    monkeypatch.setattr(
        teacher_loading, "load_teacher", lambda config, cached=None: teachers.append(Teacher()) or teachers[-1]
    )
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.001, 0.001))
    return teachers


def fill(root, *names: str):
    video = write_video(root.parent / f"{root.name}.mp4", 20)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(video.read_bytes() + os.urandom(8))  # no two files are the same
    return root


@pytest.mark.integration
def test_an_ambiguous_folder_is_refused_before_any_work_unless_layout_is_given(tmp_path, loaded):
    data = fill(tmp_path / "data", "README.mp4", "CutBread/1.mp4", "StirPot/1.mp4")
    arguments = ["--data-dir", data, "--cache-dir", tmp_path / "cache"]
    for extra in ([], ["--dry-run"]):
        output = error_of("extract-teacher", *arguments, *extra)
        assert "README.mp4" in output and "--layout classes" in output and "--layout flat" in output
    assert loaded == [] and not (tmp_path / "cache").exists()
    call("extract-teacher", *arguments, "--layout", "classes")
    labels = open_reader(tmp_path / "cache").label_set()
    assert labels.classes == ("CutBread", "StirPot")
    assert sorted(clip.label for clip in labels.clips) == [-1, 0, 1]
    assert labels.prompts[0][0] == "a first-person video frame: cut bread"


@pytest.mark.integration
def test_the_class_table_is_shown_before_extraction_in_a_dry_run_and_for_a_cache(tmp_path, caplog):
    data = fill(tmp_path / "data", "train/写字/1.mp4", "validation/写字/2.mp4", "train/cut/3.mp4", "train/cut/.x.mp4")
    arguments = ["--data-dir", data, "--cache-dir", tmp_path / "cache"]
    shown = call("extract-teacher", *arguments, "--dry-run")
    assert "files: 3 videos; skipped 1 hidden or metadata file; layout: splits/classes" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert rows["cut"].split()[1:5] == ["1", "0", "0", "1"] or rows["cut"].split()[1:5] == ["0", "1", "0", "1"]
    assert "no validation clip" in rows["cut"] and rows["写字"].split()[3] == "1"
    assert shown.splitlines()[-1].startswith("next:")
    caplog.set_level("INFO")
    call("extract-teacher", *arguments)
    lines = [record.getMessage() for record in caplog.records]
    table = next(i for i, line in enumerate(lines) if line.startswith("  写字"))
    assert "videos by class and split" in " ".join(lines[:table])
    shown = call("inspect-cache", "--cache-dir", tmp_path / "cache", "--html", tmp_path / "sheet.html")
    assert "label set zero-shot: clips by class and split" in shown and "no validation clip" in shown
    assert "写字" in shown and "写字" in (tmp_path / "sheet.html").read_text("utf-8")


@pytest.mark.integration
def test_class_names_that_are_codes_are_refused_before_the_teacher_is_loaded(tmp_path, loaded):
    data = fill(tmp_path / "data", "n01440764/1.mp4", "n01443537/1.mp4")
    arguments = ["extract-teacher", "--data-dir", data, "--cache-dir", tmp_path / "cache"]
    output = error_of(*arguments)
    assert "2 of 2 class names are codes ('n01440764', 'n01443537')" in output and "--class-names MAP.csv" in output
    assert loaded == []
    (tmp_path / "map.csv").write_text("n01440764,Tench\nn01443537,GoldFish\n")
    call(*arguments, "--class-names", tmp_path / "map.csv")
    labels = open_reader(tmp_path / "cache").label_set()
    assert labels.classes == ("Tench", "GoldFish") and labels.prompts[1][-1] == "a photo of the action: gold fish"
    call(*arguments, "--teacher-head", "none")  # class names are not read
    assert open_reader(tmp_path / "cache").label_set("none").classes == ("n01440764", "n01443537")


@pytest.mark.integration
def test_class_codes_of_a_cache_are_renamed_from_a_file_and_labels_are_kept(tmp_path):
    data = fill(tmp_path / "data", "c01/1.mp4", "c02/1.mp4", "c02/2.mp4")
    cache = tmp_path / "cache"
    call("extract-teacher", "--data-dir", data, "--cache-dir", cache, "--teacher-head", "none")
    (tmp_path / "names.csv").write_text("c02,stir pot\nc01,cut bread\n")
    call("relabel", "--cache-dir", cache, "--class-names", tmp_path / "names.csv")
    reader = open_reader(cache)
    assert reader.label_set("names").classes == ("cut bread", "stir pot")
    assert reader.label_set("names").clips == reader.label_set("none").clips
    assert reader.label_set("names").has_logits
    output = error_of("relabel", "--cache-dir", cache, "--class-names", tmp_path / "names.csv", "--num-actions", "1")
    assert "--num-actions selects classes of annotations" in output
    output = error_of("relabel", "--cache-dir", cache, "--class-names", tmp_path / "names.csv", "--classes",
                    tmp_path / "names.csv")  # fmt: skip
    assert "exclude each other: give one of them" in output


@pytest.mark.integration
def test_classes_with_equal_text_vectors_are_reported_before_any_frame_is_embedded(tmp_path, caplog, monkeypatch):
    class OneWord(Teacher):
        def class_text(self, prompts):
            return super().class_text([["same"]] * len(prompts))

        def embed(self, crops):
            caplog.records.append("embedding")
            return super().embed(crops)

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: OneWord())
    call(
        "extract-teacher", "--data-dir", fill(tmp_path / "d", "cut/1.mp4", "stir/1.mp4"), "--cache-dir", tmp_path / "c"
    )
    output = [record if isinstance(record, str) else record.getMessage() for record in caplog.records]
    named = next(i for i, line in enumerate(output) if "soft logits are equal: 'cut' and 'stir'" in line)
    assert named < output.index("embedding")


@pytest.mark.integration
def test_class_names_of_any_script_and_length_are_supported(tmp_path):
    long = "視" * 80 + ".mp4"
    data = fill(tmp_path / "data", f"写字/{long}", "мыть посуду/видео.MP4", "🏊/noext")
    arguments = ["--data-dir", data, "--cache-dir", tmp_path / "cache"]
    output = call("extract-teacher", *arguments)
    assert "listed 3 videos = 3 committed + 0 quarantined" in output
    assert "label set zero-shot: 3 classes, 3 clips" in output
    documents = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "cache" / "plan").glob("*.json")]
    sources = {video["uid"]: video["source"] for document in documents for video in document["videos"]}
    assert set(sources.values()) == {f"写字/{long}", "мыть посуду/видео.MP4", "🏊/noext"}
    assert [source for uid, source in sources.items() if is_shortened(uid)] == [f"写字/{long}"]
    assert "listed 3 videos = 3 committed" in call(
        "extract-teacher", "--data-dir", data, "--cache-dir", tmp_path / "cache"
    )
    call("verify-cache", "--cache-dir", tmp_path / "cache")


def test_options_of_plain_folders_are_refused_elsewhere(tmp_path):
    (tmp_path / "ego").mkdir()
    (tmp_path / "ego" / "ego4d.json").write_text("{}")
    arguments = ["extract-teacher", "--cache-dir", tmp_path / "cache", "--layout", "flat"]
    assert "--layout is for a folder of videos without annotations" in error_of(
        *arguments, "--data-dir", tmp_path / "ego"
    )
    assert "--layout" in error_of(*arguments, "--use-synthetic")


@pytest.mark.integration
def test_names_are_escaped_if_the_encoding_of_the_terminal_lacks_characters(tmp_path):
    data = fill(tmp_path / "data", "写字/1.mp4", "cut/1.mp4")
    call("extract-teacher", "--data-dir", data, "--cache-dir", tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, "cli.py", "inspect-cache", "--cache-dir", tmp_path / "cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and "\\u5199" in run.stdout, run.stderr
