"""Charades-Ego as a source: which lists and videos it finds, how clips are cut, and what is wrong with the lists."""

from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.charades_ego.moments import Action, moments_of
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.charades_ego_miniature import (
    CLASSES,
    COLUMNS,
    FIRST,
    NAMES,
    TEST,
    THIRD,
    TRAIN,
    TRAIN_VIDEOS,
    video,
    write_lists,
)
from tests.support.epic_miniature import write_table
from tests.support.folders import touch

DOWNLOADED = ("ABCDEEGO", "ABCDE", "KLMNOEGO", "PQRSTEGO", "PQRST")


@pytest.fixture
def root(tmp_path):
    write_lists(tmp_path / "CharadesEgo")
    return touch(tmp_path, *(f"CharadesEgo_v1/{name}.mp4" for name in DOWNLOADED))


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(charades_labels=labels, **settings))


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


def test_the_lists_choose_the_source(root, tmp_path):
    assert choose_source(root).name == "charades_ego"
    with pytest.raises(InputError, match=r"--annotations is for an Ego4D download .* is a Charades-Ego folder"):
        choose_source(root, SimpleNamespace(annotations="moments"))
    with pytest.raises(InputError, match=r"there is no CharadesEgo_v1_train_only1st.csv in .*: unpack CharadesEgo.zip"):
        opened(touch(tmp_path / "videos", "ABCDE.mp4"), "first")
    (root / "CharadesEgo" / CLASSES).unlink()
    with pytest.raises(InputError, match=r"there is no Charades_v1_classes.txt in .*CharadesEgo: unpack"):
        opened(root)


def test_kinds_choose_views_and_whole_videos(root):
    sources = opened(root, "first,third,both,first-videos,third-videos,both-videos")
    assert list(opened(root)) == ["charades-first"]
    videos = {kind: [video.uid for video in source.videos] for kind, source in sources.items()}
    assert videos["charades-first"] == videos["charades-first-videos"] == ["ABCDEEGO", "PQRSTEGO"]
    assert videos["charades-third"] == videos["charades-third-videos"] == ["ABCDE", "PQRST"]
    assert videos["charades-both"] == videos["charades-both-videos"] == ["ABCDE", "ABCDEEGO", "PQRST", "PQRSTEGO"]
    assert {source.classes for source in sources.values()} == {NAMES}  # in the order of their codes
    assert all(source.is_multi_label for source in sources.values())
    assert [(clip.start_sec, clip.end_sec, clip.labels) for clip in sources["charades-third-videos"].clips] == [
        (0, 2.5, (3,)),
        (0, 2, (0,)),
    ]
    notes = sources["charades-first"].notes
    assert "videos that do not exist, whose rows are left out: 1 (CharadesEgo_v1/FGHIJEGO.mp4)" in notes
    assert "videos without any action, which have no clip: 1" in notes


def test_lists_of_one_view_and_those_of_both_replace_each_other(root):
    expected = opened(root, "first,third,both")
    folder = root / "CharadesEgo"
    both = {name: (folder / f"{name}.csv").read_text() for name in (TRAIN, TEST)}
    for name in (TRAIN, TEST):
        for suffix in (FIRST, THIRD):
            (folder / f"{name}{suffix}.csv").rename(root / f"{name}{suffix}.csv.away")
    again = opened(root, "first,third,both")
    assert {kind: source.clips for kind, source in again.items()} == {
        kind: source.clips for kind, source in expected.items()
    }
    for name in (TRAIN, TEST):
        (folder / f"{name}.csv").unlink()
        for suffix in (FIRST, THIRD):
            (root / f"{name}{suffix}.csv.away").rename(folder / f"{name}{suffix}.csv")
    united = opened(root, "both")["charades-both"]
    assert set(united.clips) == set(expected["charades-both"].clips)
    (folder / f"{TRAIN}.csv").write_text(both[TRAIN])
    (folder / f"{TEST}{FIRST}.csv").unlink()  # neither the lists of first-person videos nor those of both are whole
    with pytest.raises(InputError, match=r"there is no CharadesEgo_v1_test_only1st.csv in"):
        opened(root, "first")


@pytest.mark.parametrize("name", ["CharadesEgo_v1_480/ABCDE.mp4", "ABCDE.mkv", "videos/ABCDE.mp4"])
def test_videos_are_found_where_they_may_be(root, name):
    (root / "CharadesEgo_v1" / "ABCDE.mp4").unlink()
    touch(root, name)
    found = opened(root, "third")["charades-third"].videos[0]
    assert (found.uid, found.source, found.path) == ("ABCDE", name, root / name)


def test_of_two_encodings_of_a_video_the_original_is_used(root):
    touch(root, "CharadesEgo_v1_480/ABCDE.mp4")
    source = opened(root, "third")["charades-third"]
    assert [found.source for found in source.videos] == ["CharadesEgo_v1/ABCDE.mp4", "CharadesEgo_v1/PQRST.mp4"]
    assert any("have several files, of which the first is used: 1" in note for note in source.notes)


def test_moments_are_cut_wherever_the_actions_change():
    actions = [Action("b", 1, 5), Action("a", 2, 3), Action("a", 3, 4), Action("b", 4.5, 6), Action("b", 5.5, 6)]
    actions.append(Action("c", 8, 9))
    assert moments_of(actions) == [
        (1, 2, ("b",)),
        (2, 4, ("a", "b")),  # the second `a` begins where the first one ends
        (4, 6, ("b",)),  # the same action, annotated three times
        (8, 9, ("c",)),
    ]
    assert moments_of([]) == []


def test_classes_of_a_file_of_names_are_for_unlabeled_moments(root, tmp_path):
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    source = opened(root, "first", classes=tmp_path / "names.txt")["charades-first"]
    assert source.classes == ("one", "two") and len(source.clips) == 4
    assert not source.is_multi_label and not any(clip.all_labels for clip in source.clips)


def test_everything_wrong_with_the_lists_is_in_one_list(root):
    folder = root / "CharadesEgo"
    wrong = [
        video("ABCDEEGO", "c001 0.20 1.00; c009 1.0 2.0;c000 2.00 1.00;c000 1.00;c000 x 3.00;c002 4.00 4.00"),
        video("../KLMNOEGO", "c000 0.00 1.00"),
        video("", "c000 0.00 1.00", egocentric="Yes"),
        video("KLMNOEGO", "c000 0.00 1.00", egocentric="No"),
        video("KLMNOEGO", "c000 0.00 1.00"),
        video("KLMNOEGO", "c000 1.00 2.00", "soon"),
    ]
    write_table(folder / f"{TRAIN}{FIRST}.csv", COLUMNS, wrong)
    write_table(folder / f"{TEST}{FIRST}.csv", COLUMNS, [video("KLMNOEGO", "c000 0.00 1.00")])
    first, *lines = problems_of(root)
    assert first == f"9 problems in {folder}:"
    assert lines == [
        f"  {TRAIN}{FIRST}.csv, line 2: actions: expected a class, a start and an end, such as c092 11.90 21.20, got "
        "'c000 1.00'",
        f"  {TRAIN}{FIRST}.csv, line 2: actions: expected an end after the start, got 'c000 2.00 1.00'",
        f"  {TRAIN}{FIRST}.csv, line 2: actions: expected one of the 4 classes of {CLASSES}, got 'c009 1.0 2.0'",
        f"  {TRAIN}{FIRST}.csv, line 2: actions: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS), got 'x'",
        f"  {TRAIN}{FIRST}.csv, line 3: id: expected the id of a video, such as ABCDE or ABCDEEGO, got '../KLMNOEGO'",
        f"  {TRAIN}{FIRST}.csv, line 4: id: expected the id of a video, such as ABCDE or ABCDEEGO, got nothing",
        f"  {TRAIN}{FIRST}.csv, line 5: egocentric: expected Yes, got 'No'",
        f"  {TRAIN}{FIRST}.csv, line 7: id: 'KLMNOEGO' is on {TRAIN}{FIRST}.csv, line 6, too",
        f"  {TEST}{FIRST}.csv, line 2: id: 'KLMNOEGO' is on {TRAIN}{FIRST}.csv, line 6, too",
    ]
    assert f"  {TRAIN}{FIRST}.csv, line 7: length: expected seconds" in "\n".join(problems_of(root, "first-videos"))


def test_an_action_without_length_labels_no_frame_and_is_counted(root):
    write_table(root / "CharadesEgo" / f"{TRAIN}{FIRST}.csv", COLUMNS, [video("ABCDEEGO", "c001 1 1;c002 1 2")])
    source = opened(root)["charades-first"]
    assert [(clip.start_sec, clip.end_sec) for clip in source.clips if clip.split == "train"] == [(1, 2)]
    assert "actions that end when they begin, which are left out: 1" in source.notes


def test_wrong_columns_and_classes_are_refused(root):
    folder = root / "CharadesEgo"
    (folder / CLASSES).write_text("c000 Holding\nOpening a door\nc000 Sitting\nc002 Holding\nc003 a|b\n")
    assert problems_of(root)[1:] == [
        f"  {CLASSES}, line 2: class: expected a code and a name, such as c008 Opening a door, got 'Opening a door'",
        f"  {CLASSES}, line 3: class: 'c000 Sitting' repeats a code or a name",
        f"  {CLASSES}, line 4: class: 'c002 Holding' repeats a code or a name",
        f"  {CLASSES}, line 5: class: expected one class, without |, got 'a|b'",
    ]
    (folder / CLASSES).write_text("\n")
    assert problems_of(root)[1:] == [f"  {CLASSES}, line 1: expected classes, got none"]
    write_lists(folder)
    columns = [name for name in COLUMNS if name != "actions"]
    rows = [{name: row[name] for name in columns} for row in TRAIN_VIDEOS]
    write_table(folder / f"{TRAIN}{FIRST}.csv", columns, rows)
    (problem,) = problems_of(root)[1:]
    assert problem.startswith(f"  {TRAIN}{FIRST}.csv, line 1: expected a column actions, got id, subject, scene")


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--charades-labels must be one or more of first, third, both, .* 'ego'"):
        opened(root, "ego")
    with pytest.raises(InputError, match="--label-set needs a single kind of annotations, but there are 2: charades"):
        opened(root, "first,third", label_set="mine")
