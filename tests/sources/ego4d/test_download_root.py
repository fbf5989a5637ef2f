"""--data-dir inside or above an Ego4D download: its redactions are never ignored."""

import os
import shlex
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.plan_ego4d import plan
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.registry import open_sources
from tests.commands.test_cli import call, error_of
from tests.labeling.test_relabel import Images
from tests.support.ego4d_files import U1, U2, label, listed, moments_video, write
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

FILES = {"moments_train.json": {"videos": [moments_video(U1, "train", [label("wash", 0, 4)])]},
         "moments_val.json": {"videos": [moments_video(U2, "val", [label("wash", 0, 4)])]}}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A download of two videos, one of which has two redacted seconds."""
    root = tmp_path_factory.mktemp("deep") / "my ego4d"
    redacted = {"has_redacted_regions": True, "redacted_intervals": [{"start_sec": 1.0, "end_sec": 3.0}]}
    write(root, FILES, [listed(U1, duration_sec=4.0, **redacted), listed(U2, duration_sec=4.0)], on_disk=())
    for uid in (U1, U2):
        (root / "v2/full_scale").mkdir(parents=True, exist_ok=True)
        write_video(root / "v2/full_scale" / f"{uid}.mp4", 120)
    return root


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Images())


@pytest.mark.integration
def test_the_version_folder_stands_for_the_download(made, tmp_path, caplog):
    call("extract-teacher", "--data-dir", made / "v2", "--cache-dir", tmp_path / "c")
    reader = open_reader(tmp_path / "c")
    assert reader.label_sets() == ("moments",) and reader.count_statuses()["redacted"] == 4
    assert f"{made / 'v2'} is part of the Ego4D download {made}, which is read as a whole" in caplog.text
    assert open_sources(made / "v2") == open_sources(made) or open_sources(made / "v2")["moments"].videos


@pytest.mark.parametrize("given", ["v2/full_scale", "v2/annotations", "v2/full_scale/.", "v2/full_scale/../full_scale"])
def test_a_folder_inside_a_download_is_refused_with_the_path_to_pass(made, tmp_path, given):
    message = error_of("extract-teacher", "--data-dir", f"{made}/{given}", "--cache-dir", tmp_path / "c")
    assert "lists the redacted parts" in message and shlex.split(message.partition("whole download: ")[2]) == [
        "--data-dir",
        str(made),
    ]
    assert not (tmp_path / "c").exists()


def test_a_relative_path_inside_a_download_is_resolved(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made / "v2" / "full_scale")
    assert "lists the redacted parts" in error_of("extract-teacher", "--data-dir", ".", "--cache-dir", tmp_path / "c")
    monkeypatch.chdir(made / "v2")
    (source,) = open_sources(Path()).values()
    assert source.kind == "ego4d" and any(video.redacted for video in source.videos)


def test_a_link_into_a_download_is_resolved(made, tmp_path):
    (tmp_path / "link").symlink_to(made / "v2" / "full_scale")
    assert "lists the redacted parts" in error_of("extract-teacher", "--data-dir", tmp_path / "link")


def test_the_folder_above_a_download_is_refused_with_the_path_to_pass(made, tmp_path):
    message = error_of("extract-teacher", "--data-dir", made.parent, "--cache-dir", tmp_path / "c")
    assert "contains an Ego4D download" in message and shlex.split(message.partition("that folder: ")[2]) == [
        "--data-dir",
        str(made),
    ]


@pytest.mark.integration
def test_plan_and_relabel_find_the_download_as_extraction_does(made, tmp_path):
    assert plan(PlanConfig(made / "v2")).document == plan(PlanConfig(made)).document
    call("extract-teacher", "--data-dir", made, "--cache-dir", tmp_path / "c")
    place = ["--cache-dir", tmp_path / "c", "--annotations", "moments", "--label-set"]
    assert "1 classes, 2 clips" in call("relabel", *place, "deep", "--data-dir", made / "v2")
    assert "lists the redacted parts" in error_of("relabel", *place, "x", "--data-dir", made / "v2/full_scale")


def test_files_named_like_ego4d_videos_without_metadata_have_a_note(made, tmp_path):
    alone = tmp_path / "copied"
    alone.mkdir()
    for path in (made / "v2/full_scale").iterdir():
        os.link(path, alone / path.name)
    (source,) = open_sources(alone).values()
    (note,) = [note for note in source.notes if "ego4d.json" in note]
    assert note.startswith("2 of 2 files are named like Ego4D videos")
    for name in ("a", "b", "c"):
        write_video(alone / f"{name}.mp4", 10)
    assert not any("ego4d.json" in note for note in open_sources(alone)[""].notes)


def test_another_folder_next_to_a_download_is_a_plain_folder(made, tmp_path):
    own = made / "my videos"
    own.mkdir()
    write_video(own / "1.mp4", 10)
    try:
        assert open_sources(own)[""].kind == "folder"
    finally:
        (own / "1.mp4").unlink()
        own.rmdir()
    with pytest.raises(InputError, match="--annotations is for Ego4D downloads"):
        (tmp_path / "x").mkdir()
        open_sources(tmp_path / "x", Ego4dOptions(annotations="moments"))


@pytest.mark.integration
def test_a_video_downloaded_again_with_other_content_is_extracted_and_labeled(made, tmp_path):
    """The same uid with other bytes: existing and later label sets refer to the new rows."""
    import shutil

    root = shutil.copytree(made, tmp_path / "e")
    call("extract-teacher", "--data-dir", root, "--cache-dir", tmp_path / "c")
    write_video(root / "v2/full_scale" / f"{U2}.mp4", 120, size=(64, 192))
    call("extract-teacher", "--data-dir", root, "--cache-dir", tmp_path / "c")
    reader = open_reader(tmp_path / "c")
    (new,) = [uid for uid in reader.video_uids if uid not in (U1, U2)]
    assert {clip.video_uid for clip in reader.label_set("moments").clips} == {U1, new} and len(reader.timeline(new).k)
    place = ["--cache-dir", tmp_path / "c", "--annotations", "moments", "--data-dir", root, "--label-set", "again"]
    call("relabel", *place)
    assert {clip.video_uid for clip in open_reader(tmp_path / "c").label_set("again").clips} == {U1, new}
    assert "2 clips" in call("extract-teacher", "--data-dir", root, "--cache-dir", tmp_path / "c")
