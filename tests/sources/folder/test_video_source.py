"""The folder source: videos, classes and splits of a folder tree."""

import math
import os

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import (
    unescape,
)
from embedonce.pipeline.sources.folder import listing
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.source import UNLABELED, Clip
from embedonce.pipeline.splits.assignment import split_by_hash
from tests.support.folders import touch


def test_two_paths_with_the_same_uid_are_refused(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "b.mp4")
    monkeypatch.setattr("embedonce.pipeline.naming.uids.path_uid", lambda path: "same")
    with pytest.raises(InputError, match=r"a.mp4 and b.mp4 .*the same uid"):
        folder_source(tmp_path)


def test_a_flat_folder_has_one_unlabeled_clip_per_video(tmp_path):
    touch(tmp_path, "b.MP4", "a.264", "c.txt", "d.gif", ".hidden.mp4", "noext", "mp4")
    source = folder_source(tmp_path)
    assert (source.kind, source.root, source.classes, source.rejected) == ("folder", tmp_path, (), ())
    assert [(video.uid, video.source) for video in source.videos] == [("a_2E264", "a.264"), ("b_2EMP4", "b.MP4")]
    assert [video.path for video in source.videos] == [tmp_path / "a.264", tmp_path / "b.MP4"]
    assert source.clips == tuple(
        Clip(uid, uid, -math.inf, math.inf, UNLABELED, split_by_hash(uid)) for uid in ("a_2E264", "b_2EMP4")
    )
    assert "no classes" in source.notes[0]


@pytest.mark.parametrize("suffix", listing.VIDEO_SUFFIXES)
def test_every_video_suffix_is_recognized(tmp_path, suffix):
    assert len(folder_source(touch(tmp_path, f"v{suffix}")).videos) == 1


def test_videos_are_sorted_by_relative_posix_path(tmp_path):
    touch(tmp_path, "b/a.mp4", "a.mp4", "a/z.mp4", "a-b.mp4")
    assert [v.source for v in folder_source(tmp_path, "flat").videos] == [
        "a-b.mp4",
        "a.mp4",
        "a/z.mp4",
        "b/a.mp4",
    ]


def test_top_level_folders_are_classes(tmp_path):
    touch(
        tmp_path, *(f"{name}/{i}.mp4" for name in ("open box", "close box") for i in range(12)), "open box/deep/x.mp4"
    )
    (tmp_path / "empty").mkdir()
    touch(tmp_path, ".git/x.mp4")
    source = folder_source(tmp_path)
    assert source.classes == ("close box", "open box")
    assert source.notes == ("1 folder without any video: empty",)
    for video, clip in zip(source.videos, source.clips, strict=True):
        assert source.classes[clip.label] == video.source.split("/")[0]
        assert (clip.video_uid, clip.split) == (video.uid, split_by_hash(video.uid))
    assert {clip.split for clip in source.clips} == {"train", "val"}


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (("a/1.mp4", "1.mp4"), "1 of 2 videos are outside the sub-folders (1.mp4)"),
        (("a/1.mp4", "a/2.mp4"), "two or more"),
    ],
)
def test_folders_that_are_not_classes(tmp_path, names, note):
    source = folder_source(touch(tmp_path, *names))
    assert source.classes == ()
    assert {clip.label for clip in source.clips} == {UNLABELED}
    assert note in source.notes[0]


def test_split_folders_may_contain_class_folders(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4", "test/b/x/1.mp4")
    source = folder_source(tmp_path)
    assert source.classes == ("a", "b")
    found = [(v.source, c.split, c.label) for v, c in zip(source.videos, source.clips, strict=True)]
    assert found == [
        ("test/b/x/1.mp4", "test", 1),
        ("train/a/1.mp4", "train", 0),
        ("train/b/1.mp4", "train", 1),
        ("val/a/1.mp4", "val", 0),
    ]


def test_split_folders_need_no_class_folders(tmp_path):
    source = folder_source(touch(tmp_path, "train/1.mp4", "val/1.mp4"))
    assert source.classes == ()
    assert [clip.split for clip in source.clips] == ["train", "val"]


def test_a_train_folder_next_to_other_folders_is_ambiguous(tmp_path):
    touch(tmp_path, "train/1.mp4", "plane/1.mp4")
    with pytest.raises(InputError, match=f"{tmp_path}: train is named like a split.*--layout classes"):
        folder_source(tmp_path)
    assert folder_source(tmp_path, "classes").classes == ("plane", "train")
    assert folder_source(tmp_path, "flat").classes == ()


def test_unusable_files_are_rejected_with_a_reason(tmp_path):
    touch(tmp_path, "ok.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    source = folder_source(tmp_path)
    assert [video.source for video in source.videos] == ["ok.mp4"]
    reasons = dict(source.rejected)
    assert set(reasons) == {"gone.mp4", "pipe.mp4"}
    assert "broken link" in reasons["gone.mp4"]
    assert "not a regular file" in reasons["pipe.mp4"]


def test_links_to_files_are_used_and_circular_links_end(tmp_path):
    touch(tmp_path, "store/x.mp4", "data/a.mp4")
    (tmp_path / "data" / "b.mp4").symlink_to(tmp_path / "store" / "x.mp4")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    source = folder_source(tmp_path / "data")
    assert [video.source for video in source.videos] == ["a.mp4", "b.mp4"]
    assert any("loop is the data folder" in note for note in source.notes)
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    assert len(folder_source(tmp_path / "alias").videos) == 2


def test_names_that_are_not_utf8_have_uids_and_printable_classes(tmp_path):
    try:
        touch(tmp_path, os.fsdecode(b"\xff/1.mp4"), "b/1.mp4")
    except OSError:
        pytest.skip("this file system holds only UTF-8 names")
    source = folder_source(tmp_path)
    assert source.classes == ("b", "\\xff")
    assert "x___FF_2F1_2Emp4" in {video.uid for video in source.videos}
    assert all(video.path.exists() and unescape(video.uid) == video.source for video in source.videos)
