"""Ego-Exo4D as a source: its takes and their videos, how its keysteps are called, and what is wrong with its files."""

import json
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.egoexo_miniature import (
    ABSENT,
    FIRST,
    MAPPING,
    OTHER,
    SECOND,
    TRAIN,
    TRAIN_TAKES,
    UIDS,
    VAL,
    VAL_TAKES,
    VIDEOS,
    VOCABULARY,
    segment,
    take,
    write_annotations,
    write_keysteps,
    write_takes,
)
from tests.support.folders import touch

HEADER = "label_id,step_unique_id,step_name,scenario_name\n"


@pytest.fixture
def root(tmp_path):
    write_annotations(tmp_path / "annotations")
    return touch(tmp_path, *VIDEOS.values())


def opened(root, labels=None, **settings):
    return open_sources(root, SimpleNamespace(egoexo_labels=labels, **settings))


def problems_of(root, labels=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        opened(root, labels)
    return str(caught.value).splitlines()


def test_the_annotations_choose_the_source(root, tmp_path):
    assert choose_source(root).name == "egoexo"
    with pytest.raises(InputError, match=r"--annotations is for an Ego4D download .* is an Ego-Exo4D download"):
        choose_source(root, SimpleNamespace(annotations="moments"))
    with pytest.raises(InputError, match=r"no keystep_train.json in .*annotations: download .* with egoexo -o"):
        opened(touch(tmp_path / "videos", "a.mp4"), "keysteps")
    (root / "annotations" / VAL).unlink()
    with pytest.raises(InputError, match=r"there is no keystep_val.json in"):
        opened(root)


def test_keysteps_are_those_of_the_benchmark_or_all(root):
    sources = opened(root, "keysteps,all-keysteps,descriptions")
    benchmark, everything, descriptions = sources.values()
    assert list(sources) == ["egoexo-keysteps", "egoexo-all-keysteps", "egoexo-descriptions"]
    assert list(opened(root)) == ["egoexo-keysteps"]
    assert benchmark.classes == ("Stir the mixture", "Check paper recipe", "Adjust the stove heat")  # by label_id
    assert everything.classes == ("Adjust the stove heat", "Check paper recipe", "Unbox package", "Stir the mixture")
    assert descriptions.classes == ()
    assert [(clip.video_uid, clip.split, clip.label) for clip in benchmark.clips] == [
        (FIRST, "train", 0),
        (FIRST, "train", 2),
        (SECOND, "val", 1),
    ]
    assert [clip.label for clip in everything.clips] == [3, 0, 2, 1]
    assert [clip.label for clip in descriptions.clips] == [-1] * 4
    assert descriptions.clips[2].text == "They unbox package"
    assert f"segments whose keystep is not in {MAPPING}, which are left out: 1" in benchmark.notes
    missing = f"takes/{ABSENT}/frame_aligned_videos/aria01_214-1.mp4"
    assert f"videos that do not exist, whose rows are left out: 1 ({missing})" in benchmark.notes


def test_without_the_list_of_the_benchmark_all_keysteps_are_classes(root):
    (root / "annotations" / "keystep_benchmark" / MAPPING).rename(root / "annotations" / MAPPING)
    assert len(opened(root)["egoexo-keysteps"].classes) == 3
    (root / "annotations" / MAPPING).unlink()
    source = opened(root)["egoexo-keysteps"]
    assert source.classes == opened(root, "all-keysteps")["egoexo-all-keysteps"].classes and len(source.clips) == 4
    assert any(f"there is no {MAPPING}: all keysteps are classes" in note for note in source.notes)


def test_without_a_vocabulary_keysteps_are_named_by_their_segments(root):
    for name, takes in ((TRAIN, TRAIN_TAKES), (VAL, VAL_TAKES)):
        write_keysteps(root / "annotations" / name, takes, vocabulary=None)
    source = opened(root, "all-keysteps")["egoexo-all-keysteps"]
    assert source.classes == ("Adjust the stove heat", "Check paper recipe", "Stir the mixture", "Unbox package")
    again = (*VAL_TAKES, take(OTHER, segment(0, 1, 502, step_name="Read the recipe")))
    write_keysteps(root / "annotations" / VAL, again, vocabulary=None)
    assert problems_of(root, "all-keysteps")[1:] == [
        f"  {VAL}, take 2: {UIDS[OTHER]}: segments[0]: step_name: expected 'Check paper recipe', as of other segments "
        "of keystep 502, got 'Read the recipe'"
    ]


def test_keysteps_with_the_same_name_are_told_apart_by_their_ids(root):
    for name, takes in ((TRAIN, TRAIN_TAKES), (VAL, VAL_TAKES)):
        write_keysteps(root / "annotations" / name, takes, VOCABULARY | {9: "stir the mixture", 7: "Unbox package"})
    assert opened(root, "all-keysteps")["egoexo-all-keysteps"].classes == (
        "Unbox package (7)",
        "stir the mixture (9)",
        "Adjust the stove heat",
        "Check paper recipe",
        "Unbox package (843)",
        "Stir the mixture (1567)",
    )


def test_keysteps_have_prompts_of_sentences():
    (prompts,) = class_prompts(("Stir the mixture",), "egoexo-keysteps")
    assert (
        "an egocentric photo of a person stirring the mixture" in prompts
        or "a photo of someone stirring the mixture" in prompts
    )


def test_takes_are_where_takes_json_says_and_their_durations_are_listed(root):
    (root / "takes" / SECOND).rename(root / "takes" / "moved")
    assert [video.uid for video in opened(root)["egoexo-keysteps"].videos] == [FIRST]
    write_takes(root, {FIRST: f"takes/{FIRST}", SECOND: "takes/moved"}, duration=61.5)
    videos = opened(root)["egoexo-keysteps"].videos
    assert [(video.uid, video.listed_sec) for video in videos] == [(SECOND, (0, 61.5)), (FIRST, (0, 61.5))]
    write_takes(root, {FIRST: f"./takes/{FIRST}/", SECOND: "."})  # where there is no video
    assert [video.uid for video in opened(root)["egoexo-keysteps"].videos] == [FIRST]
    write_takes(root, {FIRST: f"takes/{FIRST}", SECOND: f"takes/{FIRST}"})
    assert problems_of(root)[1:] == [
        f"  {VAL}, take 1: {UIDS[SECOND]}: {SECOND} has the same video as {FIRST}, {VIDEOS[FIRST]}"
    ]


def test_of_two_sizes_of_a_video_the_original_is_used(root):
    name = f"takes/{FIRST}/frame_aligned_videos/aria01_214-1.mp4"
    touch(
        root,
        name,
        f"takes/{FIRST}/frame_aligned_videos/cam01.mp4",
        f"takes/{FIRST}/frame_aligned_videos/aria01_1201-1.mp4",
    )
    source = opened(root)["egoexo-keysteps"]
    assert [video.source for video in source.videos] == [VIDEOS[SECOND], name]
    assert any("have several files, of which the first is used: 1" in note for note in source.notes)


def test_several_cameras_on_heads_are_ambiguous(root):
    touch(root, f"takes/{FIRST}/frame_aligned_videos/aria02_214-1.mp4")
    assert problems_of(root)[1:] == [
        f"  {TRAIN}, take 1: {UIDS[FIRST]}: {FIRST} has videos of several cameras on heads, aria01_214-1 and "
        "aria02_214-1: keep one of them"
    ]


def test_everything_wrong_with_the_annotations_is_in_one_list(root):
    wrong = take(
        FIRST,
        segment(2.0, 1.0, 502),
        segment(1.0, 2.0, 7),
        segment("0.5", 2.0, 502),
        segment(-1.0, 2.0, 502),
        segment(0.0, 2.0, 502, step_unique_id=None),
        segment(0.0, True, 502),
        ["no segment"],
        segment(0.0, 1.0, 502, step_description=4),
        segment(0.0, 1.0, 502),
    )
    takes = (wrong, take(SECOND, take_name="../up"), take(ABSENT, segments=None), take(OTHER, take_name=7))
    write_keysteps(root / "annotations" / TRAIN, takes)
    write_keysteps(root / "annotations" / VAL, [take(FIRST, segment(3.0, 4.0, 502))])
    first, *lines = problems_of(root)
    assert first == f"12 problems in {root / 'annotations'}:"
    here = f"  {TRAIN}, take 1: {UIDS[FIRST]}: segments"
    assert sorted(lines) == sorted([
        f"{here}[0]: end_time: expected a time after the start, 2 s, got 1.0",
        f"{here}[1]: step_unique_id: expected one of the 4 keysteps of the vocabulary, got 7",
        f"{here}[2]: start_time: expected seconds as a number that is not negative, got '0.5'",
        f"{here}[3]: start_time: expected seconds as a number that is not negative, got -1.0",
        f"{here}[4]: step_unique_id: expected a whole number that is not negative, got nothing",
        f"{here}[5]: end_time: expected seconds as a number that is not negative, got True",
        f"{here}[6]: segment: expected an object, got a list",
        f"{here}[7]: step_description: expected text, got 4",
        f"  {TRAIN}, take 2: {UIDS[SECOND]}: take_name: expected a name of letters, digits, - and _, got '../up'",
        f"  {TRAIN}, take 3: {UIDS[ABSENT]}: segments: expected a list, got nothing",
        f"  {TRAIN}, take 4: {UIDS[OTHER]}: take_name: expected text, got 7",
        f"  {VAL}, take 1: split: '{VIDEOS[FIRST]}' is in 'val' here and in 'train' on {TRAIN}, take 1; all clips of a "
        "video must be in one split",
    ])  # fmt: skip


@pytest.mark.parametrize("text", ['{"annotations": [', "[]", '{"takes": {}}', "\0"])
def test_files_of_another_form_are_problems(root, text):
    (root / "annotations" / VAL).write_text(text)
    (problem,) = problems_of(root)[1:]
    assert problem.startswith(f"  {VAL}: expected ")


def test_wrong_lists_of_keysteps_and_takes_are_refused(root):
    mapping = root / "annotations" / "keystep_benchmark" / MAPPING
    mapping.write_text(f"{HEADER}0,502,Check,cooking\n0,492,Heat,cooking\n1,502,Heat,cooking\nx,7,,cooking\n")
    (root / "takes.json").write_text(json.dumps([{"take_name": FIRST, "root_dir": "../x"}, 3, {"root_dir": "takes/y"}]))
    assert problems_of(root)[1:] == [
        f"  {MAPPING}, line 3: label_id 0 or step_unique_id 492 is there twice",
        f"  {MAPPING}, line 4: label_id 1 or step_unique_id 502 is there twice",
        f"  {MAPPING}, line 5: label_id: expected the number of a class, got 'x'",
        f"  {MAPPING}, line 5: step_name: expected the name of a keystep, got nothing",
        "  takes.json, take 1: root_dir: expected a folder below the data folder, got '../x'",
        "  takes.json, take 2: take: expected an object, got 3",
        "  takes.json, take 3: take_name: expected text, got nothing",
    ]
    (root / "takes.json").write_text('{"takes": []}')
    mapping.write_text(HEADER)
    assert problems_of(root)[1:] == [
        f"  {MAPPING}, line 2: expected rows of keysteps, got none",
        "  takes.json: expected a list, got an object",
    ]
    (root / "takes.json").unlink()
    write_annotations(root / "annotations")
    write_keysteps(root / "annotations" / VAL, VAL_TAKES, VOCABULARY | {502: "Read", "x": "y", 8: 9})
    assert sorted(problems_of(root)[1:]) == [
        f"  {VAL}: vocabulary: 502 is 'Check paper recipe' and 'Read'",
        f"  {VAL}: vocabulary: expected names of keysteps, got 9",
        f"  {VAL}: vocabulary: expected the number of a class, got 'x'",
    ]


def test_options_that_cannot_be_used(root):
    with pytest.raises(InputError, match=r"--egoexo-labels must be one or more of keysteps, .* 'keystep'"):
        opened(root, "keystep")
