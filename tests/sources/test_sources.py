"""The sources of clips: uids, splits, folders of videos and Ego4D downloads."""

import hashlib
import math
import os
import random
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.cache.schema import MAX_UID_LENGTH, UID_PATTERN
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import (
    escape,
    is_shortened,
    part_uid,
    path_uid,
    recording_of,
    safe_annotation_uid,
    unescape,
)
from embedonce.pipeline.sources.class_selection import keep_frequent_classes
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.folder import listing
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source
from embedonce.pipeline.splits.assignment import one_split, selection_uids, split_by_hash


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


# uids


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("a/b.mp4", "a_2Fb_2Emp4"),
        ("my_clip", "my_clip"),
        ("a_2F", "a_5F2F"),  # would otherwise read as a slash
        ("a_2f", "a_2f"),  # lower case is no escape
        ("é", "x___C3_A9"),
        ("a_", "a_"),
        ("a_/", "a__2F"),
        ("__ab.mp4", "x____ab_2Emp4"),
        ("x__a", "x_5F_a"),
        ("x_/", "x_5F_2F"),
        ("-a", "x__-a"),
        ("", "x__"),
        ("torchcodec__h264_10bits.mp4", "torchcodec__h264_5F10bits_2Emp4"),
    ],
)
def test_escape_examples(path, uid):
    assert escape(path) == uid
    assert unescape(uid) == path


def test_escape_is_reversible_and_injective():
    rng = random.Random(0)
    alphabets = ["_ 5FAa./-é\0x", "_5F", "x_", "x_2Fé", "_-\udcff🙂\n"]
    paths = {"".join(rng.choices(rng.choice(alphabets), k=rng.randint(0, 9))) for _ in range(40_000)}
    uids = {path: escape(path) for path in paths}
    assert len(paths) > 15_000
    assert len(set(uids.values())) == len(paths)
    for path, uid in uids.items():
        assert UID_PATTERN.fullmatch(uid), (path, uid)
        assert unescape(uid) == path


def test_uuids_are_their_own_uids():
    rng = random.Random(1)
    for _ in range(200):
        uid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        assert escape(uid) == uid == safe_annotation_uid(uid)


def test_short_paths_have_reversible_uids():
    assert path_uid("a" * MAX_UID_LENGTH) == "a" * MAX_UID_LENGTH
    for path in ("ApplyEyeMakeup/v_1.mp4", "写字/a.mp4", "-"):
        assert path_uid(path) == escape(path) and unescape(path_uid(path)) == path


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("a" * 120, "a" * 84),
        ("cut bread/" + "視" * 80 + ".mp4", "cut_bread_mp4"),
        ("." * 60, "x"),
    ],
)
def test_long_paths_have_a_readable_head_and_a_hash(path, head):
    found = path_uid(path)
    assert UID_PATTERN.fullmatch(found) and is_shortened(found) and len(found) <= MAX_UID_LENGTH
    assert found.rpartition("_2D")[0] == head
    assert found.rpartition("_2D")[2] == hashlib.sha256(path.encode()).hexdigest()[:32]
    with pytest.raises(ValueError, match="look up the path in the plan of its cache"):
        unescape(found)


def test_no_short_path_has_the_uid_of_a_long_one():
    rng = random.Random(3)
    shortened = [path_uid("".join(rng.choices("ab视_-", k=130))) for _ in range(200)]
    assert len(set(shortened)) == 200
    for uid in shortened:
        assert path_uid(uid) != uid  # a file that is called like the uid of another
    pieces = ["_2D", "_", "2D", "-", "x__", "a", "é"]
    assert not any("_2D" in escape("".join(rng.choices(pieces, k=rng.randint(1, 8)))) for _ in range(20_000))


def test_two_paths_with_the_same_uid_are_refused(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "b.mp4")
    monkeypatch.setattr("embedonce.pipeline.naming.uids.path_uid", lambda path: "same")
    with pytest.raises(InputError, match=r"a.mp4 and b.mp4 .*the same uid"):
        folder_source(tmp_path)


@pytest.mark.parametrize("uid", ["_2F", "a_41", "x__a", "a/b", "a_5Fb"])
def test_unescape_refuses_uids_that_escape_never_returns(uid):
    with pytest.raises(ValueError, match="not the uid of any path"):
        unescape(uid)


@pytest.mark.parametrize("uid", ["../x", "/etc/passwd", "a\0b", "", "a/b", ".", "a.b", "-a", "_a", "a" * 120, "a\n"])
def test_unsafe_annotation_uids_are_refused(uid):
    with pytest.raises(ValueError, match="must be"):
        safe_annotation_uid(uid)


# splits


def test_splits_of_known_uids_are_stable():
    uids = [f"video-{i}" for i in range(12)]
    assert "".join(split_by_hash(uid)[0] for uid in uids) == "tttvvvvttttt"
    assert sorted(selection_uids(f"video-{i}" for i in range(40))) == ["video-14", "video-21", "video-29", "video-9"]


def test_split_fractions_are_correct_and_independent():
    uids = [f"v{i}" for i in range(20_000)]
    val = {uid for uid in uids if split_by_hash(uid) == "val"}
    selection = selection_uids(uids)
    assert 0.19 < len(val) / len(uids) < 0.21
    assert len(selection) == len(uids) / 10
    assert 0.08 < len(selection & val) / len(val) < 0.12
    assert val < {uid for uid in uids if split_by_hash(uid, 0.5) == "val"}
    assert not any(split_by_hash(uid, 0.0) == "val" for uid in uids)
    assert all(split_by_hash(uid, 1.0) == "val" for uid in uids)


def test_selection_of_small_sets():
    uids = [f"v{i}" for i in range(100)]
    assert selection_uids([]) == selection_uids(uids[:1]) == frozenset()
    for count in range(2, 100):
        chosen = selection_uids(uids[:count])
        assert len(chosen) == max(1, round(count / 10)) <= max(1, count / 5)
        assert selection_uids(reversed(uids[:count])) == chosen < set(uids)


@pytest.mark.parametrize("seed", range(20))
def test_selection_covers_all_classes_and_never_takes_the_last_recording_of_one(seed):
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 30, generator.integers(1, 9))
    labels = {f"{seed}-{label}-{i}": {label} for label, count in enumerate(counts) for i in range(count)}
    chosen = selection_uids(labels, labels)
    left = Counter(label for uid, found in labels.items() if uid not in chosen for label in found)
    assert set(left) == set(range(len(counts)))  # every class can still be learnt
    taken = {label for uid in chosen for label in labels[uid]}
    assert len(chosen) <= max(1, len(labels) / 5)
    can_spare = {label for label, count in enumerate(counts) if count > 1}
    assert taken <= can_spare and (taken == can_spare or len(chosen) == max(1, len(labels) // 5))


def test_a_recording_that_is_the_only_one_of_a_class_is_not_selected():
    labels = {f"v{i}": {0} for i in range(9)} | {"only": {0, 1}, "bare": {-1}}
    assert "only" not in selection_uids(labels, labels)
    assert selection_uids({"a": 0, "b": 0}, {"a": {0}, "b": {1}}) == frozenset()


# folders


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


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*give the folder"):
        open_sources(tmp_path / "absent")
    touch(tmp_path, "a.mp4", "empty/readme.txt")
    with pytest.raises(InputError, match=r"is a file; give the folder"):
        open_sources(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"no video file in .*\.mp4 .*\.264"):
        open_sources(tmp_path / "empty")
    touch(tmp_path, "torn/readme.txt")
    (tmp_path / "torn" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(InputError, match=r"none of 1 video files .* broken link"):
        open_sources(tmp_path / "torn")


def test_class_names_from_a_file(tmp_path):
    touch(tmp_path / "data", "a/1.mp4", "b/1.mp4")
    names = tmp_path / "names.txt"
    names.write_text("\ufeff# classes\n\n  open door \nécrire\n", "utf-8")
    source = open_sources(tmp_path / "data", SimpleNamespace(classes=names))[""]
    assert source.classes == ("open door", "écrire")
    assert {clip.label for clip in source.clips} == {UNLABELED}
    assert any("2 class names" in note for note in source.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no class name"),
        (b"# only\n\n", "contains no class name"),
        (b"a\nb\na\n", "line 3: class 'a' is already on line 1"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\tb\n", "line 1: .*control characters"),
        (None, "No such file"),
    ],
)
def test_unusable_class_files(tmp_path, content, message):
    touch(tmp_path, "v.mp4")
    names = tmp_path / "names.txt"
    if content is not None:
        names.write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_sources(tmp_path, SimpleNamespace(classes=names))


# the most frequent classes


def labeled(counts: dict[str, tuple[int, int]]) -> Source:
    """counts: class -> (train clips, val clips)."""
    classes, clips = tuple(counts), []
    for label, numbers in enumerate(counts.values()):
        for split, number in zip(("train", "val"), numbers, strict=True):
            clips += [Clip(f"{label}{split}{i}", f"{split}", 0.0, 1.0, label, split) for i in range(number)]
    return Source(Path("."), "folder", (), tuple(clips), classes)


def test_the_most_frequent_classes_are_counted_on_training_clips():
    source = labeled({"d": (2, 0), "rare": (1, 50), "b": (2, 1), "a": (2, 1)})
    kept = keep_frequent_classes(source, 2)
    assert kept.classes == ("b", "a")  # ties by name, in their old order
    names = [kept.classes[c.label] if c.label != UNLABELED else None for c in kept.clips]
    old = [source.classes[c.label] for c in source.clips]
    assert names == [name if name in ("a", "b") else None for name in old]
    assert [replace(c, label=0) for c in kept.clips] == [replace(c, label=0) for c in source.clips]
    assert "2 classes were dropped" in kept.notes[-1]
    assert "53 clips" in kept.notes[-1]


def test_keeping_all_classes_changes_nothing():
    source = labeled({"a": (1, 0), "b": (1, 0)})
    assert keep_frequent_classes(source, 2) is source


@pytest.mark.parametrize("number", [0, 3])
def test_a_number_of_classes_out_of_range_is_refused(number):
    with pytest.raises(InputError, match=f"--num-actions {number} .*2 classes"):
        keep_frequent_classes(labeled({"a": (1, 0), "b": (1, 0)}), number)


def test_the_annotations_option_is_refused_without_ego4d_json(tmp_path):
    touch(tmp_path, "v2/full_scale/a.mp4")
    assert open_sources(tmp_path)[""].kind == "folder"
    with pytest.raises(InputError, match=r"--annotations is for Ego4D downloads, but there is no ego4d.json"):
        open_sources(tmp_path, Ego4dOptions(annotations="moments"))


def test_parts_of_a_recording_are_selected_together():
    recordings = [str(uuid.UUID(int=i, version=4)) for i in range(60)]
    parts = [part_uid(recording, str(uuid.UUID(int=i, version=4))) for recording in recordings for i in (100, 101, 102)]
    assert {recording_of(part) for part in parts} == set(recordings)
    assert recording_of("a__b") == "a__b" and recording_of(recordings[0]) == recordings[0]
    chosen = selection_uids(parts)
    assert 0 < len(chosen) < len(parts)
    assert {recording_of(uid) for uid in chosen}.isdisjoint(recording_of(uid) for uid in set(parts) - chosen)
    few = [uid for uid in parts if uid not in chosen][:6]  # of two recordings, none of which the hash selects
    assert len(selection_uids(few)) == 3


def test_a_video_in_two_splits_is_assigned_to_the_one_with_most_annotated_time():
    assert one_split({"train": 5.0, "val": 6.0}) == "val"
    assert one_split({"val": 5.0, "train": 6.0}) == "train"
    assert one_split({"train": 5.0, "val": 5.0}) == "val"  # held out, rather than trained on
