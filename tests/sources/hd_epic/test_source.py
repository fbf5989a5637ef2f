"""HD-EPIC as a source: where its files are found, how its narrations become clips, and what is wrong with them."""

import os
import pickle
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.sources.registry import choose_source, open_sources
from embedonce.pipeline.splits.assignment import split_by_hash
from tests.support.folders import touch
from tests.support.hd_epic_miniature import (
    ABSENT,
    COLUMNS,
    CONVERTED,
    FIRST,
    FOLDER,
    NARRATIONS,
    NOUNS,
    PICKLE,
    SECOND,
    VERBS,
    VIDEOS,
    narration,
    write_annotations,
    write_converted,
    write_pickle,
)
from tests.support.pickled_frames import Reduced


@pytest.fixture
def root(tmp_path):
    write_annotations(tmp_path / FOLDER)
    return touch(tmp_path, *VIDEOS.values())


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(hd_epic_labels=labels, **settings))


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("folder", [".", "annotations", "hd-epic-annotations", "narrations-and-action-segments"])
def test_the_narrations_choose_the_source_wherever_they_are(tmp_path, folder):
    write_annotations(tmp_path / folder)
    touch(tmp_path, *VIDEOS.values())
    assert choose_source(tmp_path).name == "hd_epic" and len(opened(tmp_path)["hd-epic-verbs"].clips) == 4


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(InputError, match=r"--annotations is for an Ego4D download .* is an HD-EPIC folder"):
        choose_source(root, SimpleNamespace(annotations="moments"))
    (root / FOLDER / NOUNS).unlink()
    assert len(opened(root)["hd-epic-verbs"].clips) == 4
    with pytest.raises(InputError, match=r"there is no HD_EPIC_noun_classes.csv in .*: it is next to HD_EPIC"):
        opened(root, "nouns")
    with pytest.raises(InputError, match=r"there is no HD_EPIC_Narrations.pkl in .*: clone"):
        opened(touch(tmp_path / "videos", "a.mp4"), "verbs")


def test_narrations_have_any_number_of_verbs_and_nouns(root):
    sources = opened(root, "verbs,nouns,narrations")
    verbs, nouns, narrations = sources.values()
    assert list(sources) == ["hd-epic-verbs", "hd-epic-nouns", "hd-epic-narrations"]
    assert list(opened(root)) == ["hd-epic-verbs"]
    assert verbs.classes == ("take", "turn on", "open", "hold")
    assert nouns.classes == ("tap", "chopping board", "cupboard") and narrations.classes == ()
    assert verbs.is_multi_label and nouns.is_multi_label and not narrations.is_multi_label
    assert [(clip.clip_id, clip.labels) for clip in verbs.clips] == [
        (f"{FIRST}-1", (2, 3)),
        (f"{FIRST}-2", (0,)),
        (f"{SECOND}-1", (1,)),
        (f"{SECOND}-2", (3,)),
    ]
    assert [clip.labels for clip in nouns.clips] == [(2,), (1,), (0,)]  # the same noun twice is one
    assert "narrations with nothing in noun_classes, which have no clip: 1" in nouns.notes
    assert next(clip.text for clip in narrations.clips) == f"Do {FIRST}-1 with the left hand."
    assert f"videos that do not exist, whose rows are left out: 1 (Videos/P09/{ABSENT}.mp4)" in verbs.notes


def test_recordings_are_held_out_by_the_usual_hash(root):
    source = opened(root)["hd-epic-verbs"]
    assert source.splits_by_hash
    assert {(clip.video_uid, clip.split) for clip in source.clips} == {(uid, split_by_hash(uid)) for uid in VIDEOS}


def test_a_converted_table_replaces_the_pickle(root):
    expected = opened(root, "verbs,nouns,narrations")
    (root / FOLDER / PICKLE).write_bytes(b"not read")
    write_converted(root / FOLDER / CONVERTED)
    again = opened(root, "verbs,nouns,narrations")
    assert {kind: source.clips for kind, source in again.items()} == {
        kind: source.clips for kind, source in expected.items()
    }
    assert again["hd-epic-verbs"].files == f"{CONVERTED} lists 5 clips of 3 videos"


def test_no_code_of_the_pickle_is_run_and_the_way_out_is_named(root, tmp_path):
    target = tmp_path / "made"
    (root / FOLDER / PICKLE).write_bytes(pickle.dumps(Reduced(os.mkdir, str(target))))
    with pytest.raises(InputError) as caught:
        opened(root)
    message = str(caught.value)
    assert "\n" not in message and "cannot be read without running code of it (expected a table of plain" in message
    assert "pandas.read_pickle('HD_EPIC_Narrations.pkl').to_csv('HD_EPIC_Narrations.csv', index=False)" in message
    evil = [NARRATIONS[0] | {"verb_classes": [Reduced(os.mkdir, str(target))]}]
    write_pickle(root / FOLDER / PICKLE, evil)
    with pytest.raises(InputError, match="cannot be read without running code of it"):
        opened(root)
    assert not target.exists()


def test_columns_must_be_there(root):
    write_pickle(root / FOLDER / PICKLE, NARRATIONS, [name for name in COLUMNS if name != "verb_classes"])
    with pytest.raises(InputError, match=r"HD_EPIC_Narrations.pkl: expected a column verb_classes, got unique_narr"):
        opened(root)
    assert opened(root, "nouns")


@pytest.mark.parametrize(
    "name", [f"P01/{FIRST}.mp4", f"{FIRST}.MP4", f"videos/{FIRST}.mkv", f"HD-EPIC/Videos/P01/{FIRST}.mp4"]
)
def test_videos_are_found_where_they_may_be(root, name):
    (root / VIDEOS[FIRST]).unlink()
    touch(root, name)
    video = opened(root)["hd-epic-verbs"].videos[0]
    assert (video.uid, video.source, video.path) == (FIRST, name, root / name)


WRONG = (
    narration(f"{FIRST}-1", 2.0, 1.0, [0], [0]),
    narration(f"{FIRST}-2", float("nan"), 1.0, [0], [0]),
    narration(f"{FIRST}-3", 0.0, 1.0, [0], [0], verb_classes=[0, 4]),
    narration(f"{FIRST}-4", 0.0, 1.0, [0], [0], verb_classes="take"),
    narration(f"{FIRST}-5", 0.0, 1.0, [0], [0], video_id="../up"),
    narration(f"{FIRST}-6", 0.0, 1.0, [0], [0], unique_narration_id=None),
    narration(f"{FIRST}-7", 0.0, 1.0, [0], [0]),
    narration(f"{FIRST}-7", 2.0, 3.0, [0], [0]),
    narration(f"{FIRST}-8", 2.0, 3.0, [0], [0], verb_classes=[1.0]),
)


@pytest.mark.parametrize(("file", "unit", "first"), [(PICKLE, "row", 1), (CONVERTED, "line", 2)])
def test_everything_wrong_with_the_narrations_is_in_one_list(root, file, unit, first):
    write = write_pickle if file == PICKLE else write_converted
    write(root / FOLDER / file, WRONG)
    title, *lines = problems_of(root)
    assert title == f"8 problems in {root / FOLDER}:"
    places = [f"  {file}, {unit} {first + number}: " for number in range(len(WRONG))]
    assert lines == [
        f"{places[0]}end: expected a time after the start, 2 s, got 1 s",
        f"{places[1]}start_timestamp: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), got 'nan'",
        f"{places[2]}verb_classes: expected numbers of 4 classes, got '[0, 4]'",
        f"{places[3]}verb_classes: expected a list of numbers of classes, such as [3, 34], got 'take'",
        f"{places[4]}video_id: expected the name of a video, such as P01-20240202-110250, got '../up'",
        f"{places[5]}unique_narration_id: expected the id of a narration, got nothing",
        f"{places[7]}uid: '{FIRST}-7' is the uid of {places[6].strip().rstrip(':')}, too; every clip needs its own",
        f"{places[8]}verb_classes: expected a list of numbers of classes, such as [3, 34], got '[1.0]'",
    ]


def test_wrong_class_tables_are_in_the_list(root):
    (root / FOLDER / VERBS).write_text("ID,Key,Instances,Category\n0,take,[],any\n0,put,[],any\n")
    assert problems_of(root)[1:] == [f"  {VERBS}, line 3: id: 0 is the class 'take' already"]


def test_corrections_that_are_not_read_are_mentioned(root):
    touch(root / FOLDER, "HD_EPIC_Narrations_erratum.csv")
    note = "HD_EPIC_Narrations_erratum.csv is not read: its corrections are not applied"
    assert note in opened(root)["hd-epic-verbs"].notes


def test_classes_have_prompts_of_verbs_and_nouns():
    assert "an egocentric photo of a person turning something on" in class_prompts(("turn on",), "hd-epic-verbs")[0]
    assert "an egocentric photo of a chopping board" in class_prompts(("chopping board",), "hd-epic-nouns")[0]


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--hd-epic-labels must be one or more of verbs, nouns, .* 'verb'"):
        opened(root, "verb")
