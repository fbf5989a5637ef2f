"""EPIC-KITCHENS-100 as a source: where its files are found, how its classes are called, and what is wrong with it."""

from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.sources.epic.class_names import readable
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.epic_miniature import (
    COLUMNS,
    INFO,
    NOUNS,
    TRAIN,
    TRAIN_ROWS,
    VALIDATION,
    VERBS,
    action,
    write_table,
    write_tables,
)
from tests.support.folders import touch

ANYWHERE = (
    *("P01/P01_01.MP4", "P01_01.mp4", "videos/P01_01.MP4", "videos/P01/p01_01.mkv", "P01/videos/P01_01.MP4"),
    *("EPIC-KITCHENS/P01/videos/P01_01.MP4", "EPIC-KITCHENS/P01/P01_01.MP4", "EPIC-KITCHENS/videos/P01/P01_01.mov"),
)


@pytest.fixture
def root(tmp_path):
    write_tables(tmp_path)
    return touch(tmp_path, "P01/P01_01.MP4", "P02/P02_102.MP4")


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(epic_labels=labels, **settings))


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


def test_the_tables_choose_the_source_in_a_folder_of_their_own_too(root, tmp_path):
    assert choose_source(root).name == "epic"
    write_tables(tmp_path / "other" / "epic-kitchens-100-annotations")
    assert choose_source(tmp_path / "other").name == "epic"
    with pytest.raises(InputError, match=r"--annotations is for an Ego4D download .* is an EPIC-KITCHENS-100 folder"):
        choose_source(root, SimpleNamespace(annotations="moments"))
    with pytest.raises(InputError, match=r"there is no EPIC_100_train.csv in .*: put the tables of"):
        opened(touch(tmp_path / "videos", "P01_01.MP4"), "verbs")
    (root / VALIDATION).unlink()
    with pytest.raises(InputError, match=r"there is no EPIC_100_validation.csv in"):
        opened(root)


def test_verbs_nouns_and_narrations_label_the_same_clips(root):
    sources = opened(root, "verbs,nouns,narrations")
    verbs, nouns, narrations = sources.values()
    assert list(sources) == ["epic-verbs", "epic-nouns", "epic-narrations"] and list(opened(root)) == ["epic-verbs"]
    assert verbs.classes == ("take", "turn on", "cut") and narrations.classes == ()
    assert nouns.classes == ("tap", "chopping board", "sous vide machine", "plate")  # in the order of their ids
    for source, labels in ((verbs, [0, 1, 1]), (nouns, [3, 0, 2]), (narrations, [-1, -1, -1])):
        assert [(clip.clip_id, clip.video_uid, clip.split, clip.text) for clip in source.clips] == [
            ("P01_01_0", "P01_01", "train", "take plate"),
            ("P01_01_1", "P01_01", "train", "switch-on tap"),
            ("P02_102_10", "P02_102", "val", "turn-on machine:sous:vide"),
        ]
        assert [clip.label for clip in source.clips] == labels
        assert "videos that do not exist, whose rows are left out: 1 (P09/P09_07.MP4)" in source.notes


@pytest.mark.parametrize("name", ANYWHERE)
def test_videos_are_found_where_they_may_be_downloaded(root, name):
    (root / "P01" / "P01_01.MP4").unlink()
    touch(root, name)
    video = opened(root)["epic-verbs"].videos[0]
    assert (video.uid, video.source, video.path) == ("P01_01", name, root / name)


def test_of_several_files_of_a_video_the_first_is_used_and_unfinished_ones_are_none(root):
    touch(root, "videos/P01_01.mp4", "P01/P01_01.MP4.part", "P01/._P01_01.MP4", "P01/P01_01.jpg")
    source = opened(root)["epic-verbs"]
    assert [video.source for video in source.videos] == ["P01/P01_01.MP4", "P02/P02_102.MP4"]
    several = "videos that have several files, of which the first is used: 1 (P01/P01_01.MP4 and videos/P01_01.mp4)"
    assert several in source.notes


def test_the_test_table_is_not_read(root):
    (root / "EPIC_100_test_timestamps.csv").write_text("no table")
    source = opened(root)["epic-verbs"]
    assert len(source.clips) == 3 and "EPIC_100_test_timestamps.csv has no labels and is not read" in source.notes


def test_class_names_are_readable_and_have_prompts_of_verbs_and_nouns():
    keys = {
        **{"tap": "tap", "turn-on": "turn on", "scotch:egg": "scotch egg"},
        **{"board:chopping": "chopping board", "machine:sous:vide": "sous vide machine"},
    }
    assert {key: readable(key) for key in keys} == keys
    (prompts,) = class_prompts(("turn on",), "epic-verbs")
    assert "an egocentric photo of a person turning something on" in prompts
    assert "an egocentric photo of a chopping board" in class_prompts(("chopping board",), "epic-nouns")[0]


def test_without_a_class_table_classes_are_named_by_their_most_frequent_word(root):
    (root / VERBS).unlink()
    more = [action(f"P01_01_{i}", f"{i}", f"{i + 1}", ("turn-on", 1), ("tap", 0)) for i in range(5, 7)]
    write_table(root / TRAIN, COLUMNS, [*TRAIN_ROWS, *more])
    source = opened(root)["epic-verbs"]
    assert source.classes == ("take", "turn on", "slice")
    assert any("there is no EPIC_100_verb_classes.csv: classes are named by" in note for note in source.notes)


def test_everything_wrong_with_both_tables_is_in_one_list(root):
    wrong = [
        action("P01_01_0", "00:00:02", "00:00:01", ("take", 0), ("tap", 0)),
        action("P01_01_1", "soon", "00:00:01", ("take", 7), ("tap", 0)),
        action("../P01_01_2", "0", "1", ("take", 0), ("tap", 0)),
        action("P01_01_3", "0", "", ("take", 0), ("tap", 0), verb_class="0.0"),
        action("P01_01_4", "0", "1", ("take", 0), ("tap", 0)),
    ]
    write_table(root / TRAIN, COLUMNS, wrong)
    again = action("P01_01_4", "1", "2", ("take", 0), ("tap", 0))
    write_table(root / VALIDATION, COLUMNS, [again, action("", "0", "1", ("take", 0), ("tap", 0), video_id="P02_102")])
    first, *lines = problems_of(root)
    assert first == f"9 problems in {root}:"
    assert lines == [
        "  EPIC_100_train.csv, line 2: end: expected a time after the start, 2 s, got 1 s",
        "  EPIC_100_train.csv, line 3: start_timestamp: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), "
        "got 'soon'",
        "  EPIC_100_train.csv, line 3: verb_class: expected the number of one of 3 classes, got '7'",
        "  EPIC_100_train.csv, line 4: video_id: expected the name of a video, such as P01_01, got '../P01_01'",
        "  EPIC_100_train.csv, line 5: stop_timestamp: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), "
        "got nothing",
        "  EPIC_100_train.csv, line 5: verb_class: expected the number of a class, got '0.0'",
        "  EPIC_100_validation.csv, line 2: split: 'P01/P01_01.MP4' is in 'val' here and in 'train' on "
        "EPIC_100_train.csv, line 6; all clips of a video must be in one split",
        "  EPIC_100_validation.csv, line 2: uid: 'P01_01_4' is the uid of EPIC_100_train.csv, line 6, too; every clip "
        "needs its own",
        "  EPIC_100_validation.csv, line 3: narration_id: expected the id of a narration, got nothing",
    ]


def test_wrong_class_tables_and_columns_are_refused(root):
    (root / NOUNS).write_text("id,key\n0,tap\n0,plate\nx,pan\n4,pan:\n5,\n6,tap\n7,a|b\n")
    assert problems_of(root, "nouns")[1:] == [
        "  EPIC_100_noun_classes.csv, line 3: id: 0 is the class 'tap' already",
        "  EPIC_100_noun_classes.csv, line 4: id: expected the number of a class, got 'x'",
        "  EPIC_100_noun_classes.csv, line 6: key: expected the name of a class, got nothing",
        "  EPIC_100_noun_classes.csv, line 7: key: 'tap' is the name of EPIC_100_noun_classes.csv, line 2, too",
        "  EPIC_100_noun_classes.csv, line 8: key: expected one class, without |, got 'a|b'",
    ]
    (root / NOUNS).write_text("id,key\n")
    assert problems_of(root, "nouns")[1:] == ["  EPIC_100_noun_classes.csv, line 2: expected rows of classes, got none"]
    (root / TRAIN).write_text("narration_id,video_id\nP01_01_0,P01_01\n")
    expected = "  EPIC_100_train.csv, line 1: expected a column start_timestamp, got narration_id, video_id"
    assert problems_of(root)[1:] == [expected]


def test_durations_are_listed_if_they_are_known_for_all_videos(root):
    (root / INFO).write_text("video_id,duration,fps,resolution\nP01_01,1652.15,59.94,1920x1080\n")
    assert [video.listed_sec for video in opened(root)["epic-verbs"].videos] == [None, None]
    with (root / INFO).open("a") as file:
        file.write("P02_102,60.5,50,1920x1080\n")
    assert [video.listed_sec for video in opened(root)["epic-verbs"].videos] == [(0, 1652.15), (0, 60.5)]
    (root / INFO).write_text("video_id,duration\nP01_01,-1\n")
    assert problems_of(root)[1].startswith("  EPIC_100_video_info.csv, line 2: duration: expected seconds")


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--epic-labels must be one or more of verbs, nouns, narrations, .* 'verb'"):
        opened(root, "verb")
    with pytest.raises(InputError, match="--epic-labels must be"):
        opened(root, "verbs,verbs")
    with pytest.raises(InputError, match="--label-set needs a single kind of annotations, but there are 2: epic-verbs"):
        opened(root, "verbs,nouns", label_set="mine")
    assert opened(root, "verbs", label_set="mine")
