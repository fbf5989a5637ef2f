"""EGTEA Gaze+ as a source: its lists, its clips and sessions, and what is wrong with them."""

from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.egtea_miniature import (
    ACTIONS,
    CLIPS,
    CUT,
    HEADER,
    NOUNS,
    PIZZA,
    READ,
    SALAD,
    TABLE,
    TEST,
    TIMES,
    TRAIN,
    TRANSFER,
    clip_file,
    write_lists,
)
from tests.support.folders import touch


@pytest.fixture
def root(tmp_path):
    write_lists(tmp_path / "action_annotation")
    return touch(tmp_path, *map(clip_file, CLIPS))


@pytest.fixture
def sessions(tmp_path):
    write_lists(tmp_path)
    return touch(tmp_path, f"{SALAD}.mp4", f"videos/{PIZZA}.MP4")


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(egtea_labels=labels, **settings))


def actions_of(root, **settings):
    return opened(root, **settings)["egtea-actions"]


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


def test_the_lists_choose_the_source_if_a_file_names_the_classes(root, tmp_path):
    assert choose_source(root).name == "egtea"
    other = touch(tmp_path / "other", TRAIN, TEST, "a.mp4")
    assert choose_source(other).name == "folder"
    with pytest.raises(InputError, match=r"does not have train_split1.txt, test_split1.txt, verb_idx.txt: unpack"):
        opened(touch(tmp_path / "videos", "a.mp4"), "verbs")
    with pytest.raises(InputError, match=r"does not have train_split3.txt, .*; --egtea-split is 1, 2 or 3"):
        opened(root, egtea_split=3)
    (root / "action_annotation" / NOUNS).unlink()
    assert actions_of(root)
    with pytest.raises(InputError, match=r"there is no noun_idx.txt in .*, which names the classes: unpack"):
        opened(root, "nouns")


def test_actions_verbs_and_nouns_label_the_same_cut_clips(root):
    actions, verbs, nouns = opened(root, "actions,verbs,nouns").values()
    assert actions.classes == ("Cut tomato", "Inspect/Read recipe", "Transfer tomato, cutting board")
    assert verbs.classes == ("Inspect/Read", "Cut", "Transfer")  # in the order of their numbers
    assert nouns.classes == ("cutting board", "tomato", "recipe")
    for source in (actions, verbs, nouns):
        assert [(c.clip_id, c.video_uid, c.split) for c in source.clips] == [
            (CUT, CUT, "train"),
            (TRANSFER, TRANSFER, "train"),
            (READ, READ, "val"),
        ]
        assert source.has_whole_videos and source.one_clip_per_video
    assert [clip.label for clip in actions.clips] == [0, 2, 1] and [clip.label for clip in verbs.clips] == [1, 2, 0]
    assert [clip.labels for clip in nouns.clips] == [(1,), (0, 1), (2,)]
    assert list(opened(root)) == ["egtea-actions"]
    assert [(clip.clip_id, clip.split) for clip in actions_of(root, egtea_split=2).clips] == [
        (READ, "train"),
        (CUT, "val"),
    ]


@pytest.mark.parametrize("place", ["video_clips/cropped_clips/{s}", "cropped_clips", "{s}", "."])
def test_clips_may_be_in_other_folders_and_keep_their_uids(root, place):
    before = actions_of(root)
    for clip, session in zip(CLIPS, (SALAD, SALAD, PIZZA), strict=True):
        folder = root / place.format(s=session)
        folder.mkdir(parents=True, exist_ok=True)
        (root / clip_file(clip)).rename(folder / f"{clip}.mkv")
    after = actions_of(root)
    assert after.clips == before.clips and all(video.path.suffix == ".mkv" for video in after.videos)


def test_missing_clips_are_counted_and_sessions_do_not_replace_them(root):
    (root / clip_file(TRANSFER)).unlink()
    touch(root, f"{SALAD}.mp4")
    source = actions_of(root)
    assert [clip.clip_id for clip in source.clips] == [CUT, READ]
    assert f"videos that do not exist, whose rows are left out: 1 ({clip_file(TRANSFER)})" in source.notes
    assert "videos of sessions are not used, because there are clips with videos of their own" in source.notes


def test_without_cut_clips_they_are_parts_of_sessions(sessions):
    (sessions / TABLE).write_text("\n".join((HEADER, TIMES[0].replace("; 250; 1100", "; 260; 1100.5"), TIMES[2])))
    source = actions_of(sessions)
    assert [(c.clip_id, c.video_uid, c.start_sec, c.end_sec) for c in source.clips] == [
        (CUT, SALAD, 0.26, 1.1005),
        (TRANSFER, SALAD, 1.0, 2.04),
        (READ, PIZZA, 0.5, 1.52),
    ]
    prefix = "no clip has a video of its own: clips are parts of the videos of their sessions, by the times "
    assert f"{prefix}in action_labels.csv" in source.notes
    lacking = "clips that action_labels.csv does not have, whose times are those of their names"
    assert f"{lacking}: 1 ({TRANSFER})" in source.notes
    (sessions / TABLE).unlink()
    source = actions_of(sessions)
    assert source.clips[0].start_sec == 0.25 and f"{prefix}in their names" in source.notes


def test_a_cache_of_sessions_stays_one(sessions):
    cached = actions_of(sessions).clips
    touch(sessions, *map(clip_file, CLIPS))
    assert [clip.video_uid for clip in actions_of(sessions).clips] == list(CLIPS)
    again = open_sources(sessions, SimpleNamespace(), cached_uids=(SALAD, PIZZA))["egtea-actions"]
    assert again.clips == cached


def test_everything_wrong_is_in_one_list(root):
    folder = root / "action_annotation"
    backwards = f"{SALAD}-900-800-F000001-F000002"
    lines = [f"{CUT} 1 2 2", f"{TRANSFER} 4 3 2", f"{backwards} 1 2 2", "P01 1 2 2", f"{READ} 2 1", f"{READ} 2 x 3"]
    (folder / TRAIN).write_text("\n".join([*lines, f"{CUT} 2 2 2", ""]))
    (folder / TEST).write_text(f"{CUT} 1 2 2\n{READ} 0 1 3\n")
    (folder / ACTIONS).write_text("Cut tomato 1\nRead recipe 2\nPeel\nWash pan 2\n 3\n")
    first, *others = problems_of(root)
    assert first == f"12 problems in {folder}:"
    assert others == [
        f"  {TRAIN}, line 2: action: expected the number of one of 2 classes, got '4'",
        f"  {TRAIN}, line 3: clip: expected an end after the start, got 900 to 800 ms, frames 1 to 2",
        f"  {TRAIN}, line 4: clip: expected the name of a clip, such as "
        "OP01-R01-PastaSalad-66680-68130-F001597-F001639, got 'P01'",
        f"  {TRAIN}, line 5: classes: expected the numbers of an action, a verb and one or more nouns, got '2 1'",
        f"  {TRAIN}, line 6: classes: expected the numbers of an action, a verb and one or more nouns, got '2 x 3'",
        f"  {TRAIN}, line 7: uid: '{CUT}' is the uid of {TRAIN}, line 1, too; every clip needs its own",
        f"  {TEST}, line 1: split: '{clip_file(CUT)}' is in 'val' here and in 'train' on {TRAIN}, line 1; all clips of "
        "a video must be in one split",
        f"  {TEST}, line 1: uid: '{CUT}' is the uid of {TRAIN}, line 1, too; every clip needs its own",
        f"  {TEST}, line 2: action: expected the number of one of 2 classes, got '0'",
        f"  {ACTIONS}, line 3: action: expected a name and a number, such as Cut tomato 12, got 'Peel'",
        f"  {ACTIONS}, line 4: action: 'Wash pan 2' repeats a number or a name",
        f"  {ACTIONS}, line 5: action: expected a name and a number, such as Cut tomato 12, got '3'",
    ]
    (folder / ACTIONS).write_text("\n")
    assert f"  {ACTIONS}, line 1: expected names and numbers of classes, got none" in problems_of(root)


def test_values_of_any_length_are_problems_in_short_messages(root):
    folder, long = root / "action_annotation", "9" * 5000
    (folder / TEST).write_text(
        f"{READ} 2 1 {long}\n{long}\n{SALAD}-1-{long}-F1-F2 1 2 2\n{'a' * 300}-1-2-F1-F2 1 2 2\n"
    )
    (folder / ACTIONS).write_text(f"Cut tomato 1\nPeel {long}\nWash {long} 2\n")
    first, *lines = problems_of(root)
    assert first.startswith("7 problems") and all(len(line) < 600 for line in lines)


def test_a_wrong_table_of_times_is_refused(sessions):
    wrong = [TIMES[0].replace("; 250;", "; soon;"), TIMES[1].replace("; 2040;", "; 1000;"), TIMES[2]]
    (sessions / TABLE).write_text("\n".join((HEADER, *wrong, TIMES[2].replace("; 500;", "; 501;"))))
    assert problems_of(sessions)[1:] == [
        "  train_split1.txt, line 2: end: expected a time after the start, 1 s, got 1 s",
        "  action_labels.csv, line 2: starting time (ms): expected milliseconds, such as 66680, got 'soon'",
        f"  action_labels.csv, line 5: clip prefix (unique): '{PIZZA}-500-1520' has other times in another row",
    ]


def test_clips_of_a_session_may_be_in_two_splits_as_in_the_lists(sessions):
    (sessions / TRAIN).write_text(f"{CUT} 1 2 2\n{READ} 2 1 3\n")
    (sessions / TEST).write_text(f"{TRANSFER} 3 3 2 1\n")
    source = actions_of(sessions)
    assert [(clip.clip_id, clip.video_uid, clip.split) for clip in source.clips] == [
        (CUT, SALAD, "train"),
        (READ, PIZZA, "train"),
        (TRANSFER, SALAD, "val"),
    ]
    assert "sessions with clips for both training and validation, by the lists: 1 of 2" in source.notes


def test_class_names_become_phrases():
    assert class_prompts(("Inspect/Read recipe",), "egtea-actions")[0][1] == (
        "an egocentric photo of a person inspecting or reading recipe"
    )
    assert class_prompts(("Cut",), "egtea-verbs")[0][1] == "an egocentric photo of a person cutting something"
    assert "an egocentric photo of a cutting board" in class_prompts(("cutting board",), "egtea-nouns")[0]


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--egtea-labels must be one or more of actions, verbs, nouns, .* 'noun'"):
        opened(root, "noun")
    with pytest.raises(InputError, match="--label-set needs a single kind"):
        opened(root, "actions,nouns", label_set="mine")
