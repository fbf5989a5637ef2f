"""Assembly101 as a source: its tables, where its videos are, and what is wrong with them."""

from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.assembly101_miniature import (
    ACTIONS,
    COLUMNS,
    FIXED,
    ONE,
    TEST,
    TEST_ROWS,
    TRAIN,
    TRAIN_ROWS,
    TWO,
    VALIDATION,
    VIDEOS,
    WORN,
    segment,
    write_actions,
    write_tables,
)
from tests.support.epic_miniature import write_table
from tests.support.folders import touch

FINE = "fine-grained-annotations"


@pytest.fixture
def root(tmp_path):
    write_tables(tmp_path / FINE)
    return touch(tmp_path, *(f"recordings/{name}" for name in VIDEOS))


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(assembly101_labels=labels, **settings))


def actions_of(root):
    return opened(root)["assembly101-actions"]


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


def test_the_columns_of_the_tables_choose_the_source(root, tmp_path):
    assert choose_source(root).name == "assembly101"
    other = touch(tmp_path / "other", "cut/a.mp4", "stir/b.mp4")
    for text in ("", "video,label\na.mp4,cut\n", "\x00"):
        (other / TRAIN).write_text(text)
        assert choose_source(other).name == "folder"
    with pytest.raises(InputError, match=r"there is no train.csv of Assembly101 in .*: download its fine-grained-anno"):
        opened(other, "verbs")
    (root / FINE / ACTIONS).unlink()
    with pytest.raises(InputError, match=r"there is no actions.csv of Assembly101 in .*fine-grained-annotations: "):
        opened(root)


def test_actions_verbs_and_nouns_label_the_same_clips(root):
    actions, verbs, nouns = opened(root, "actions,verbs,nouns").values()
    assert actions.classes == ("pick up wheel", "clap hand", "pick up hand")  # in the order of their numbers
    assert (verbs.classes, nouns.classes) == (("pick up", "clap"), ("hand", "wheel"))
    for source, labels in ((actions, [0, 1, 0, 2, 1]), (verbs, [0, 1, 0, 0, 1]), (nouns, [1, 0, 1, 0, 0])):
        assert [clip.label for clip in source.clips] == labels
        assert [(round(clip.start_sec * 30, 9), round(clip.end_sec * 30, 9)) for clip in source.clips] == [
            *((4, 31), (30, 46), (4, 31), (15, 40), (3, 33)),
        ]
        assert [clip.split for clip in source.clips] == ["train", "train", "train", "val", "test"]
    assert len({clip.clip_id for clip in actions.clips}) == 5 and list(opened(root)) == ["assembly101-actions"]


@pytest.mark.parametrize("folder", [".", "videos"])
def test_videos_may_be_in_other_folders_and_keep_their_uids(root, folder):
    before = actions_of(root)
    (root / folder).mkdir(exist_ok=True)
    for path in (root / "recordings").iterdir():
        path.rename(root / folder / path.name)
    after = actions_of(root)
    assert after.clips == before.clips and {v.uid for v in after.videos} == {v.uid for v in before.videos}
    assert all(video.path.is_file() for video in after.videos)


def test_views_of_a_sequence_are_one_recording(root):
    videos = actions_of(root).videos
    assert len(videos) == 4 and len({recording_of(video.uid) for video in videos}) == 3
    for other in ("cut_2FC1_2Emp4", "nusar-2021_x_2Fa_2Emp4", "cut_2Fnusar-2021_x"):
        assert recording_of(other) == other


def test_missing_views_are_counted_and_named(root):
    (root / "recordings" / ONE / WORN).unlink()
    source = actions_of(root)
    assert len(source.clips) == 4
    assert f"videos that do not exist, whose rows are left out: 1 (recordings/{ONE}/{WORN})" in source.notes


def test_a_test_table_without_labels_is_not_read(root):
    hidden = ("action_id", "verb_id", "noun_id", "action_cls", "verb_cls", "noun_cls")
    columns = [name for name in COLUMNS if name not in hidden]
    write_table(root / FINE / TEST, columns, [{name: row[name] for name in columns} for row in TEST_ROWS])
    source = actions_of(root)
    assert [clip.split for clip in source.clips] == ["train", "train", "train", "val"]
    assert "test.csv has no labels and is not read" in source.notes
    (root / FINE / TEST).unlink()
    assert len(actions_of(root).clips) == 4


def test_actions_of_both_hands_at_the_same_time_are_clips_of_their_own(root):
    together = segment(f"{ONE}/{FIXED}", 4, 31, 1)
    write_tables(root / FINE, (*TRAIN_ROWS, together))
    source = actions_of(root)
    assert [clip.label for clip in source.clips if clip.video_uid.endswith("rgb_2Emp4")] == [0, 1, 1, 2, 1]
    assert "clips that last exactly as long as a clip of another class: 2 of 6" in source.notes


def test_everything_wrong_is_in_one_list(root):
    video = f"{ONE}/{FIXED}"
    train = [
        segment(video, 31, 4, 0),
        segment(video, "4.5", "", 0),
        segment(f"../{video}", 4, 31, 0),
        segment(video, 4, 31, 0, action_id="3"),
        segment(video, 4, 31, 0, action_id="1"),
        segment(video, 40, 50, 1),
        segment(video, 40, 50, 1),
    ]
    write_tables(root / FINE, train, [segment(f"{ONE}/{WORN}", 5, 9, 1), segment(video, 60, 70, 1)])
    assert problems_of(root) == [
        f"9 problems in {root / FINE}:",
        "  train.csv, line 2: end: expected a time after the start, 1.03333 s, got 0.133333 s",
        "  train.csv, line 3: end_frame: expected the number of a frame, got nothing",
        "  train.csv, line 3: start_frame: expected the number of a frame, got '4.5'",
        "  train.csv, line 4: video: expected a sequence and a view, such as nusar-2021_x/C10404_rgb.mp4, got "
        f"'../{video[:75]}…",
        "  train.csv, line 5: action_id: expected the number of one of 3 classes, got '3'",
        "  train.csv, line 6: action_cls: expected 'clap hand', the name of 1, got 'pick up wheel'",
        "  train.csv, line 8: the same clip as on train.csv, line 7: remove one of them, or give each a uid",
        f"  validation.csv, line 2: split: the sequence '{ONE}' is in 'val' here and in 'train' on train.csv, line 2",
        f"  validation.csv, line 3: split: 'recordings/{video}' is in 'val' here and in 'train' on train.csv, line 7; "
        "all clips of a video must be in one split",
    ]


def test_values_of_any_length_are_problems_in_short_messages(root):
    long = "9" * 5000
    rows = [segment(f"{ONE}/{FIXED}", long, long, 0, action_id=long), segment(f"{long}/{FIXED}", 1, 2, 0)]
    write_tables(root / FINE, rows, [segment(f"{long}/{WORN}", 1, 2, 0)])
    first, *lines = problems_of(root)
    assert first.startswith("6 problems") and all(len(line) < 600 for line in lines)


def test_wrong_tables_of_classes_and_columns_are_refused(root):
    write_actions(root / FINE, [segment("", 0, 1, 0, action_id="1"), segment("", 0, 1, 0, action_id="9")])
    assert problems_of(root)[1:] == [
        "  actions.csv, line 5: action_id: 1 is the class 'clap hand' already",
        "  actions.csv, line 6: action_cls: 'pick up wheel' is the class 0 already",
    ]
    write_actions(root / FINE, [segment("", 0, 1, 0, verb_id="x", verb_cls="")])
    assert problems_of(root, "verbs")[1:] == [
        "  actions.csv, line 5: verb_cls: expected the name of a class, got nothing",
        "  actions.csv, line 5: verb_id: expected the number of a class, got 'x'",
    ]
    (root / FINE / ACTIONS).write_text("action_id,action_cls\n")
    assert problems_of(root)[1:] == ["  actions.csv, line 2: expected rows of classes, got none"]
    write_actions(root / FINE)
    (root / FINE / VALIDATION).write_text(f"video,start_frame\n{TWO}/{FIXED},1\n")
    expected = "  validation.csv, line 1: expected a column end_frame, got video, start_frame"
    assert problems_of(root)[1:] == [expected]


def test_class_names_become_phrases():
    assert class_prompts(("clap hand",), "assembly101-actions")[0][1] == (
        "an egocentric photo of a person clapping hand"
    )
    assert class_prompts(("pick up",), "assembly101-verbs")[0][1] == (
        "an egocentric photo of a person picking something up"
    )
    assert "an egocentric photo of a wheel" in class_prompts(("wheel",), "assembly101-nouns")[0]


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--assembly101-labels must be one or more of actions, verbs, nouns, .* 'a'"):
        opened(root, "a")
