"""Errors and notes about an Ego4D download: file, index, field and expected value, all in one list."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.problems import MAX_PROBLEMS_SHOWN, Problems
from embedonce.pipeline.sources.ego4d.source import ego4d_sources
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import UNLABELED
from tests.support.ego4d_files import (
    C1,
    C2,
    LASTS,
    MOMENTS_OF_U2,
    U1,
    U2,
    U3,
    action,
    fho_video,
    label,
    listed,
    lta,
    moments,
    moments_video,
    named,
    narrated,
    narration,
    source_of,
    write,
)

GOOD = {
    **MOMENTS_OF_U2,
    "fho_main.json": {"videos": [fho_video(U2, action())]},
    "fho_lta_train.json": {"clips": [lta(U2)]},
    "narration.json": {U2: narrated(narration(3.0))},
}
LISTED = [listed(U1, split_fho="val"), listed(U2, split_fho="train"), listed(U3, split_fho="train")]
N2 = {U2: narrated(narration(3.0))}
UNREADABLE = "videos with unreadable redacted intervals, not used"
HIDDEN = "videos with redacted regions whose times ego4d.json does not list, not used"
UNKNOWN = "entries about videos that ego4d.json does not list, dropped"
NULL = "null values, entries dropped: "
EMPTY = "empty or unprintable text, entries dropped: "
CLAMPED = "entries that extend beyond their video, clamped"
OUTSIDE = "entries outside their video, dropped"
BY_TIME = "actions ordered by time instead of `action_idx`: "
REVERSED = "entries that end before they start, dropped"
NO_LABEL = "labels that are not in the taxonomy, clips kept unlabeled"
TWICE = "duplicates, only the first is used: "
KIND_OF = {
    "moments_val.json": "moments",
    "fho_main.json": "fho-verbs",
    "fho_lta_train.json": "lta-nouns",
    "narration.json": "narrations",
    "fho_oscc-pnr_train.json": "oscc",
    "goalstep_train.json": "goalstep",
}


def oscc(uid, changes, **more) -> dict:
    """An entry of fho_oscc-pnr_*.json."""
    return {"video_uid": uid, "parent_start_sec": 5.0, "parent_end_sec": 13.0, "state_change": changes} | more


def step(name, start, end, *within) -> dict:
    return {"step_category": name, "start_time": start, "end_time": end, "segments": list(within)}


def goalstep(uid, *steps) -> dict:
    return {"video_uid": uid, "start_time": 0.0, "end_time": LASTS, "segments": list(steps)}


def twice(video: dict) -> dict:
    """The video with each of its clips listed twice."""
    return {k: v * 2 if isinstance(v, list) else v for k, v in video.items()}


FORM = {  # an error if all entries of the file have it, a note if a single one has it
    "missing uid": ("moments_val.json", {"videos": [{"split": "val", "clips": []}]},
                    "videos[0]: video_uid: expected a uid", "got nothing"),
    "unsafe uid": ("moments_val.json", moments(uid="../../x"), "videos[0]: video_uid: expected a uid", "'../../x'"),
    "uid type": ("moments_val.json", moments(uid=7), "videos[0]: video_uid: expected a uid", "got 7"),
    "split": ("moments_val.json", moments(split="training"), "split: expected val in this file", "got 'training'"),
    "clips": ("moments_val.json", {"videos": [{"video_uid": U1, "split": "val", "clips": {}}]},
              "videos[0]: clips: expected a list", "got {}"),
    "entry": ("moments_val.json", {"videos": [3]}, "videos[0]: entry: expected an object", "got 3"),
    "labels": ("moments_val.json", moments(annotations=[{}]),
               "videos[0].clips[0].annotations[0]: labels: expected a list", "got nothing"),
    "primary": ("moments_val.json", moments(label(primary="yes")), "labels[0]: primary: expected true", "'yes'"),
    "name": ("moments_val.json", moments(label(3)), "labels[0]: label: expected a class name", "got 3"),
    "text": ("moments_val.json", moments(label(start="1")), "labels[0]: video_start_time: expected seconds", "got '1'"),
    "bool": ("moments_val.json", moments(label(end=True)), "labels[0]: video_end_time: expected seconds", "got True"),
    "huge": ("moments_val.json", moments(label(end=1e300)), "labels[0]: video_end_time: expected seconds", "1e+300"),
    "fho: flag": ("fho_main.json", {"videos": [fho_video(U1, action(is_rejected="no"))]},
                  "videos[0].annotated_intervals[0].narrated_actions[0]: is_rejected: expected true or false", "'no'"),
    "fho: verb": ("fho_main.json", {"videos": [fho_video(U1, action(verb=3))]}, "structured_verb: expected a", "3"),
    "fho: actions": ("fho_main.json", {"videos": [{"video_uid": U1, "annotated_intervals": [{"narrated_actions": 1}]}]},
                     "annotated_intervals[0]: narrated_actions: expected a list", "got 1"),
    "lta: times": ("fho_lta_train.json", {"clips": [lta(U1, action_clip_end_sec="9")]},
                   "clips[0]: action_clip_end_sec: expected seconds", "'9'"),
    "oscc: change": ("fho_oscc-pnr_train.json", {"clips": [oscc(U1, "yes")]},
                     "clips[0]: state_change: expected", "yes"),
    "goalstep: times": ("goalstep_train.json", {"videos": [goalstep(U1, step("a", "0", 3))]},
                        "segments[0]: start_time: expected seconds", "got '0'"),
    "narration: time": ("narration.json", {U1: narrated(narration("3"))},
                        "narration_pass_1.narrations[0]: timestamp_sec: expected seconds", "got '3'"),
    "narration: list": ("narration.json", {U1: {"narration_pass_1": {"narrations": 5}}},
                        "narration_pass_1: narrations: expected a list", "got 5"),
}  # fmt: skip
SOUND = {
    "moments_val.json": {"videos": [moments_video(U3, "val", [label("cut", 20, 30)])]},
    "fho_main.json": {"videos": [fho_video(U3, action(verb="cut", is_rejected=False), clip_uid=C2)]},
    "fho_lta_train.json": {"clips": [lta(U3)]},
    "fho_oscc-pnr_train.json": {"clips": [oscc(U3, True)]},
    "goalstep_train.json": {"videos": [goalstep(U3, step("b", 4, 9))]},
    "narration.json": {U3: narrated(narration(5.0))},
}


def with_sound_entries(name: str, document: dict) -> dict:
    """The document with one valid entry added to the invalid one."""
    sound = SOUND[name]
    return {k: v + sound[k] for k, v in document.items()} if set(document) == set(sound) else document | sound


@pytest.mark.parametrize(("name", "document", "place", "got"), FORM.values(), ids=FORM.keys())
def test_a_field_that_is_invalid_throughout_a_file_is_an_error(tmp_path, name, document, place, got):
    write(tmp_path, GOOD | {name: document}, LISTED)
    with pytest.raises(InputError) as error:
        source_of(tmp_path, KIND_OF[name], skip_invalid=True)
    first, *lines = str(error.value).splitlines()
    assert first.startswith("1 problem in the annotations under") and "fix the files, or download" in first
    assert len(lines) == 1
    assert lines[0].strip().startswith(f"v2/annotations/{name}: ")
    assert place in lines[0] and got in lines[0]


@pytest.mark.parametrize(("name", "document", "place", "got"), FORM.values(), ids=FORM.keys())
def test_a_single_invalid_field_drops_its_entry(tmp_path, name, document, place, got):
    write(tmp_path, GOOD | {name: with_sound_entries(name, document)}, LISTED)
    source = source_of(tmp_path, KIND_OF[name])
    (note,) = [note for note in source.notes if "(e.g. v2/annotations" in note]
    field = place.split(": ")[-2]
    assert note.startswith(f"invalid values, entries dropped: {field} is not ") and f": {KIND_OF[name]} 1 (" in note
    assert got in note
    assert U3 in {clip.video_uid for clip in source.clips if clip.label != UNLABELED}
    with pytest.raises(InputError, match="omit --strict") as error:
        source_of(tmp_path, KIND_OF[name], strict=True)
    assert place in str(error.value) and got in str(error.value)


def timed(**changes) -> dict:
    return {"moments_val.json": moments(label("a", 1, 9), label(**{"name": "b"} | changes))}


SINGLE = {  # kind, files, beginning of the note, its example, clips of U1 (name, start, end)
    "unknown uid": ("moments", {"moments_val.json": moments(uid="nobody")},
                    UNKNOWN, "moments_val.json: videos[0]: got 'nobody'", []),
    "unknown test uid": ("moments", {"moments_test_unannotated.json": moments(uid="nobody", split="test")},
                         UNKNOWN, "unannotated.json: videos[0]: got", []),
    "unknown lta uid": ("lta-verbs", {"fho_lta_test_unannotated.json": {"clips": [lta("nobody", verb=None)]}},
                        UNKNOWN, "clips[0]: got 'nobody'", []),
    "unknown narrated uid": ("narrations", {"narration.json": {"nobody": narrated(narration(1.0)), **N2}},
                             UNKNOWN, "narration.json: 'nobody': got", []),
    "empty name": ("moments", timed(name=" "), EMPTY + "label", "labels[1]: got ' '", [("a", 1, 9)]),
    "null name": ("moments", timed(name=None), NULL + "label", "labels[1]: got None", [("a", 1, 9)]),
    "null labels": ("moments", {"moments_val.json": moments(annotations=[{"labels": None}])},
                    NULL + "labels", "annotations[0]: got None", []),
    "null primary": ("moments", timed(primary=None), "labels whose `primary` is null", "got None", [("a", 1, 9)]),
    "null time": ("moments", timed(end=None), NULL + "video_end_time", "labels[1]: got None", [("a", 1, 9)]),
    "backwards": ("moments", timed(start=5, end=2), REVERSED, "labels[1]: got 2", [("a", 1, 9)]),
    "late": ("moments", timed(start=50, end=LASTS + 2), CLAMPED,
             "labels[1]: got (50.0, 102.0)", [("a", 1, 9), ("b", 50, LASTS)]),
    "minus one": ("moments", timed(start=-1, end=8), CLAMPED,
                  "labels[1]: got (-1.0, 8.0)", [("b", 0, 8), ("a", 1, 9)]),
    "half a second": ("moments", timed(start=50, end=LASTS + 0.5), CLAMPED,
                      "labels[1]: got (50.0, 100.5)", [("a", 1, 9), ("b", 50, LASTS)]),
    "35 of 30": ("moments", timed(start=135, end=140), OUTSIDE, "got (135.0, 140.0)", [("a", 1, 9)]),
    "early": ("fho-verbs", {"fho_main.json": {"videos": [fho_video(U1, action(-2.0, 9.0))]}},
              CLAMPED, "got (-2.0, 9.0)", [("take", 0, 9)]),
    "video twice": ("moments", {"moments_val.json": {"videos": [moments_video(U1, "val", [label("a", 1, 9)])] * 2}},
                    TWICE + "videos", f"videos[1]: got '{U1}'", [("a", 1, 9)]),
    "clip twice": ("moments", {"moments_val.json": {"videos": [twice(moments_video(U1, "val", [label("a", 1, 9)]))]}},
                   TWICE + "clips", f"clips[1]: got '{C1}'", [("a", 1, 9)]),
    "interval twice": ("fho-verbs", {"fho_main.json": {"videos": [twice(fho_video(U1, action()))]}},
                       TWICE + "clips", f"intervals[1]: got '{C1}'", [("take", 1, 9)]),
    "action twice": ("fho-verbs", {"fho_main.json": {"videos": [fho_video(U1, action(uid="n"), action(uid="n"))]}},
                     TWICE + "actions", "narrated_actions[1]: got 'n'", [("take", 1, 9)]),
    "no class": ("fho-verbs", {"fho_main_taxonomy.json": {"verbs": ["take"], "nouns": ["cup"]},
                               "fho_main.json": {"videos": [fho_video(U1, action(verb="tickle"), action(20, 28))]}},
                 NO_LABEL, "got 'tickle'", [(None, 1, 9), ("take", 20, 28)]),
    "no index": ("lta-nouns", {"fho_lta_val.json": {"clips": [lta(U1, None)]}},
                 BY_TIME + "not a number", "clips[0]: got None", [("knife", 12, 20)]),
    "index twice": ("lta-nouns", {"fho_lta_val.json": {"clips": [lta(U1), lta(U1, start=4.0)]}},
                    BY_TIME + "repeated", "clips[1]: got 0", [("knife", 12, 20), ("knife", 14, 22)]),
    "window twice": ("lta-nouns", {"fho_lta_val.json": {"clips": [lta(U1), lta(U1)]}},
                     TWICE + "clips", f"clips[1]: got '{C1}'", [("knife", 12, 20)]),
    "lta: no clip": ("lta-nouns", {"fho_lta_val.json": {"clips": [lta(U1, clip_uid=None), lta(U1, 1, 4.0)]}},
                     NULL + "clip_uid", "clips[0]: got None", [("knife", 14, 22)]),
    "no change": ("oscc", {"fho_oscc-pnr_val.json": {"clips": [oscc(U1, None)]}},
                  "whose `state_change` is null, kept unlabeled", "clips[0]: got None", [(None, 5, 13)]),
    "step name": ("goalstep", {"goalstep_val.json": {"videos": [goalstep(U1, step("", 0, 3), step("b", 4, 9))]}},
                  EMPTY + "step_category", "segments[0]: got ''", [("b", 4, 9)]),
    "test end": ("goalstep", {"goalstep_test.json": {"videos": [goalstep(U1) | {"end_time": None}]}},
                 NULL + "end_time", "videos[0]: got None", []),
    "late narration": ("narrations", {"narration.json": {U1: narrated(narration(103.0))}},
                       OUTSIDE, "narrations[0]: got 103.0", []),
    "empty narration": ("narrations", {"narration.json": {U1: narrated(narration(1.0, " "))}},
                        EMPTY + "narration_text", "narrations[0]: got ' '", []),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "files", "reason", "example", "clips"), SINGLE.values(), ids=SINGLE.keys())
@pytest.mark.integration
def test_a_single_invalid_entry_is_one_note_and_an_error_if_strict(tmp_path, kind, files, reason, example, clips):
    write(tmp_path, GOOD | files, LISTED)
    source = source_of(tmp_path, kind)
    (note,) = [note for note in source.notes if "(e.g. v2/annotations" in note]
    assert reason in note and f": {kind} 1 (" in note and example in note
    assert [(name, start, end) for uid, start, end, name, _ in named(source) if uid == U1] == clips
    assert source_of(tmp_path, kind, skip_invalid=True) == source
    with pytest.raises(InputError, match="1 problem in the annotations under"):
        source_of(tmp_path, kind, strict=True)


def test_notes_count_each_reason_once_with_its_first_example(tmp_path):
    labels = [label("a", 1, 9), *[label(None)] * 3, *[label("b", 90, 110)] * 2]
    write(tmp_path, {"moments_val.json": moments(*labels)})
    notes = [note for note in source_of(tmp_path).notes if "e.g." in note]
    assert len(notes) == 2
    assert notes[0].startswith("null values, entries dropped: label: moments 3 (e.g. v2/annotations/")
    assert "labels[1]: got None" in notes[0]
    assert notes[1].startswith("entries that extend beyond their video, clamped: moments 2")


VIDEOS = {  # what makes a video unusable, the note, and the example
    "no duration": ({"duration_sec": None}, "null values, entries dropped: duration_sec", "got None"),
    "no time": ({"duration_sec": 0}, "videos of zero or negative duration, not used", "got 0"),
    "stereo": ({"is_stereo": "left"}, "is_stereo is not true or false", "got 'left'"),
    "start": ({"video_metadata": {"video_start_sec": "0"}}, "video_start_sec is not", "got '0'"),
    "backwards": ({"redacted_intervals": [{"start_sec": 5, "end_sec": 1}]}, UNREADABLE, "got [{'start_sec': 5"),
    "no interval": ({"redacted_intervals": [{"start_sec": 1, "end_sec": 2}, "7-9"]}, UNREADABLE, "'7-9']"),
    "no length": ({"redacted_intervals": [{"start_sec": 5, "end_sec": 5}]}, UNREADABLE, "got [{'start_sec': 5"),
    "no list": ({"redacted_intervals": {"start_sec": 5, "end_sec": 7}}, UNREADABLE, "got {'start_sec': 5"),
    "text": ({"has_redacted_regions": "true"}, "has_redacted_regions is not true", "got 'true'"),
    "a number": ({"has_redacted_regions": 1, "redacted_intervals": []}, "has_redacted_regions is not", "got 1"),
    "nowhere": ({"has_redacted_regions": True}, HIDDEN, "got nothing"),
    "null": ({"has_redacted_regions": True, "redacted_intervals": None}, HIDDEN, "got None"),
    "empty": ({"has_redacted_regions": True, "redacted_intervals": []}, HIDDEN, "got []"),
    "elsewhere": ({"has_redacted_regions": True, "redacted_intervals": [{"start_sec": 900, "end_sec": 950}]},
                  HIDDEN, "900"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason", "got"), VIDEOS.values(), ids=VIDEOS.keys())
def test_a_video_with_unclear_metadata_is_not_used_and_has_one_note(tmp_path, changes, reason, got):
    files = GOOD | {
        "moments_val.json": moments(label("a", 1, 9)),
        "narration.json": N2 | {U1: narrated(narration(3.0))},
    }
    write(tmp_path, files, videos=[listed(U1, split_fho="val"), listed(U2, split_fho="train", **changes)])
    for kind in ("moments", "narrations"):
        source = source_of(tmp_path, kind)
        assert {video.uid for video in source.videos} == {U1} == {clip.video_uid for clip in source.clips}
        (note,) = [note for note in source.notes if U2 in note or "ego4d.json" in note]
        assert reason in note and "(e.g. ego4d.json: videos[1]" in note and got in note
        assert not any("without annotations" in note or "not on disk" in note for note in source.notes)
    for options in ({"strict": True}, {"strict": True, "skip_invalid": True}):
        with pytest.raises(InputError, match=r"ego4d.json: videos\[1\]"):
            source_of(tmp_path, **options)


def test_a_video_with_invalid_scenarios_is_still_used(tmp_path):
    write(tmp_path, GOOD, videos=[listed(U2, scenarios="cooking")])
    source = source_of(tmp_path)
    assert [video.uid for video in source.videos] == [U2]
    assert any(
        "videos whose scenarios are not a list of names, used without them: ego4d.json 1" in note
        and "'cooking'" in note
        for note in source.notes
    )


def test_a_video_listed_twice_is_used_if_both_entries_are_equal(tmp_path):
    write(tmp_path, GOOD, videos=[listed(U2), listed(U2)])
    source = source_of(tmp_path)
    assert [video.uid for video in source.videos] == [U2]
    assert any("duplicates, only the first is used: videos: ego4d.json 1" in note for note in source.notes)
    hidden = {"redacted_intervals": [{"start_sec": 1, "end_sec": 2}]}
    write(tmp_path, GOOD | {"moments_val.json": moments(label())}, [listed(U1), listed(U2), listed(U2, **hidden)])
    source = source_of(tmp_path)
    assert [video.uid for video in source.videos] == [U1]
    assert any("videos listed twice with different values, not used: ego4d.json 1" in note for note in source.notes)


def test_a_field_that_is_invalid_throughout_ego4d_json_is_an_error(tmp_path):
    write(tmp_path, GOOD, videos=[listed(uid, duration_sec="100") for uid in (U1, U2)])
    with pytest.raises(InputError, match=r"2 problems .*\n.*videos\[0\]: duration_sec: expected seconds"):
        source_of(tmp_path)


def test_a_problem_that_several_kinds_find_in_one_file_is_counted_once(tmp_path):
    write(tmp_path, {"fho_main.json": {"videos": [fho_video(7, action())]}})
    with pytest.raises(InputError, match="1 problem in"):
        ego4d_sources(tmp_path, Ego4dOptions(annotations="fho-verbs,fho-nouns"))


def test_annotations_of_only_unknown_videos_have_an_error_of_their_own(tmp_path):
    write(tmp_path, {"moments_val.json": moments(uid="nobody")})
    with pytest.raises(
        InputError,
        match=r"no video in the annotations under .* is listed in ego4d.json; .*list, dropped: moments 1 .*'nobody'",
    ):
        source_of(tmp_path)


WRONG_FILES = [
    (b"[1, 2]", "content: expected an object with `videos`, got 'none'"),
    (b'{"vid', "content: expected JSON, got 'parse error: premature EOF'"),
    (b"[" * 100_000, "content: expected annotations, got 'brackets nested more than 64 deep'"),
    (b'{"other": []}', "content: expected an object with `videos`, got 'none'"),
    (b'{"videos": {}}', "content: expected a list at `videos`, got 'an object'"),
    (b"\xff\xfe\x80", "content: expected JSON, got 'lexical error"),
    (b'{"videos": [{"a": NaN}]}', "content: expected JSON, got 'lexical error: invalid char in json text.'"),
    (b"", "content: expected JSON"),
    (None, "content: expected a readable file, got 'Is a directory'"),
]


@pytest.mark.parametrize(("content", "message"), WRONG_FILES)
@pytest.mark.parametrize("name", ["ego4d.json", "v2/annotations/moments_train.json"])
def test_files_of_another_format_are_errors(tmp_path, name, content, message):
    write(tmp_path, GOOD)
    if content is None:
        if name == "ego4d.json":
            return
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        streams_problems = Problems()
        assert list(json_stream.entries(tmp_path / name, "videos", name, streams_problems)) == []
        assert message in streams_problems.wrong_files[0]
        return
    (tmp_path / name).write_bytes(content)
    for skip_invalid in (False, True):  # a wrong file is never skipped
        with pytest.raises(InputError) as error:
            source_of(tmp_path, skip_invalid=skip_invalid)
        assert f"{name}: {message}" in str(error.value) and "download them again" in str(error.value)


def test_the_error_about_a_broken_file_names_the_last_entry_read(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "v2/annotations/narration.json").write_text(
        json.dumps({U1: narrated(narration(1.0))})[:-1] + ', "x": ]'
    )
    with pytest.raises(InputError, match=rf"after '{U1}'"):
        source_of(tmp_path, "narrations")


@pytest.mark.parametrize("content", ["[1]", '{"verbs": []}', '{"verbs": ["a", "a"]}', '{"verbs": ["a", 3]}', "{"])
def test_an_invalid_taxonomy_is_an_error(tmp_path, content):
    write(tmp_path, GOOD)
    (tmp_path / "v2/annotations/fho_main_taxonomy.json").write_text(content)
    with pytest.raises(InputError, match=r"fho_main_taxonomy.json: content: expected"):
        source_of(tmp_path, "fho-verbs")


def test_many_problems_are_counted_and_the_first_are_shown(tmp_path):
    wrong = [label(end="3")] * 30
    write(tmp_path, {"moments_train.json": moments(*wrong, split="train"), "moments_val.json": moments()})
    with pytest.raises(InputError) as error:
        source_of(tmp_path)
    first, *lines = str(error.value).splitlines()
    assert (
        first.startswith("30 problems")
        and f", first {MAX_PROBLEMS_SHOWN} shown" in first
        and len(lines) == MAX_PROBLEMS_SHOWN
    )


def test_brackets_in_strings_and_escapes_do_not_nest(tmp_path):
    text = '[{"\\' * 500
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0, f"#C C takes {text}")] * 300)}})
    assert (tmp_path / "v2/annotations/narration.json").stat().st_size > json_stream.CHUNK_BYTES / 2
    assert len(source_of(tmp_path, "narrations").videos) == 1


def test_one_entry_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_ENTRY_BYTES", 1 << 20)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 1 << 16)
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0)] * 4000)} | {U2: narrated(narration(1.0))}})
    assert source_of(tmp_path, "narrations").videos  # 0.5 MB
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0)] * 40_000)}})
    with pytest.raises(InputError, match="expected annotations, got 'one entry of more than 1 MB'"):
        source_of(tmp_path, "narrations")


READING = """
import resource, sys
from pathlib import Path
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.ego4d.parsing.json_stream import members
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
videos = members(Path(sys.argv[1]), "", "n", Problems())
count = sum(len(value["narration_pass_1"]["narrations"]) for _, _, value in videos)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    one = json.dumps(narrated(*[narration(float(i)) for i in range(300)]))
    grown = []
    for videos in (30, 1200):
        with (tmp_path / "n.json").open("w") as file:
            file.write("{" + ",".join(f'"v{i}": {one}' for i in range(videos)) + "}")
        ran = subprocess.run(
            [sys.executable, "-c", READING, tmp_path / "n.json"], cwd=Path(__file__).parents[3], capture_output=True
        )
        count, kilobytes = map(int, ran.stdout.split())
        assert count == 300 * videos
        grown.append(kilobytes)
    assert (tmp_path / "n.json").stat().st_size > 20e6
    assert grown[1] < grown[0] + 8000  # a file 40 times as large


# locations of files


@pytest.mark.parametrize("place", ["v2/annotations", "v2_1/annotations", "v1/annotations", "annotations"])
@pytest.mark.parametrize("metadata", ["ego4d.json", "v2/ego4d.json", "v1/ego4d.json"])
def test_annotations_are_found_in_each_version_folder(tmp_path, place, metadata):
    write(tmp_path, GOOD, folder=place)
    (tmp_path / metadata).parent.mkdir(exist_ok=True)
    (tmp_path / "ego4d.json").rename(tmp_path / metadata)
    assert len(open_sources(tmp_path)["moments"].clips) == 1


@pytest.mark.parametrize("version", ["v2", "v3", "ours"])
def test_the_metadata_is_found_one_folder_up(tmp_path, version):
    """For the version folder itself; a folder inside it is refused."""
    write(tmp_path, GOOD)
    (tmp_path / "v2").rename(tmp_path / version)
    assert len(open_sources(tmp_path / version)["moments"].clips) == 1
    redacted = listed(U2, redacted_intervals=[{"start_sec": 1, "end_sec": 2}])
    (tmp_path / "ego4d.json").write_text(json.dumps({"videos": [redacted]}))
    assert [video.redacted for video in open_sources(tmp_path / version)["moments"].videos] == [((1, 2),)]
    with pytest.raises(InputError, match="lists the redacted parts"):
        open_sources(tmp_path / version / "full_scale")


def test_small_clips_are_used_if_there_is_no_other_file(tmp_path):
    spans = [{"clip_uid": uid, "video_uid": U1, "video_start_sec": s, "video_end_sec": s + 50.0}
             for uid, s in ((C1, 0.0), (C2, 50.0))]  # fmt: skip
    files = {"moments_train.json": moments(label("a", 1, 9), label("b", 60, 69), split="train")}
    write(tmp_path, files, on_disk=[f"clips_540ss/{C1}.mp4", f"clips_540ss/{C2}.mp4", f"clips/{C1}.mp4"], clips=spans)
    source = source_of(tmp_path)
    assert [video.source for video in source.videos] == [f"v2/clips/{C1}.mp4", f"v2/clips_540ss/{C2}.mp4"]
    assert [(name, start) for _, start, _, name, _ in named(source)] == [("a", 1.0), ("b", 10.0)]


def test_the_canonical_file_is_preferred_then_the_small_one_then_clips(tmp_path):
    clip = {"clip_uid": C1, "video_start_sec": 0.0, "video_end_sec": 50.0}
    videos = [moments_video(U1, "train", [label()], clip_uid=C2), moments_video(U2, "train", [label()])]
    files = {"moments_train.json": {"videos": videos}}
    disk = [f"full_scale/{U1}.mp4", f"video_540ss/{U1}.mp4", f"video_540ss/{U2}.mp4", f"clips/{C1}.mp4", "clips/x.mp4"]
    write(tmp_path, files, on_disk=disk, clips=[clip | {"video_uid": U2}])
    source = source_of(tmp_path)
    assert [video.source for video in source.videos] == [f"v2/full_scale/{U1}.mp4", f"v2/video_540ss/{U2}.mp4"]
    assert any("clip files that ego4d.json does not list or excludes, ignored: 1" in note for note in source.notes)


def test_times_are_mapped_into_clip_files(tmp_path):
    clips = [{"clip_uid": uid, "video_uid": U1, "video_start_sec": s, "video_end_sec": s + 30.0}
             for uid, s in (("c-a", 10.5), ("c-b", 35.5))]  # fmt: skip
    labels = [label("in a", 12.0, 14.0), label("out", 70.0, 80.0), label("over a", 5.0, 20.0), label("in b", 60, 65.5)]
    redacted = [{"start_sec": 13.0, "end_sec": 36.0}]
    write(
        tmp_path,
        {"moments_train.json": moments(*labels, split="train")},
        videos=[listed(U1, redacted_intervals=redacted, is_stereo=True)],
        on_disk=["clips/c-a.mp4", "clips/c-b.mp4"],
        clips=clips,
    )
    source = source_of(tmp_path)
    a, b = f"{U1}__c-a", f"{U1}__c-b"
    assert named(source) == [
        (a, 0.0, 9.5, "over a", "train"),
        (a, 1.5, 3.5, "in a", "train"),
        (b, 24.5, 30.0, "in b", "train"),
    ]
    assert [(v.uid, v.redacted, v.left_eye) for v in source.videos] == [
        (a, ((2.5, 25.5),), True),
        (b, ((0.0, 0.5),), True),
    ]
    assert any(
        "clips of which no file on disk shows at least half, dropped: moments 1" in note for note in source.notes
    )


def test_an_error_if_no_annotated_video_is_on_disk(tmp_path):
    write(tmp_path, GOOD, on_disk=[])
    with pytest.raises(InputError) as error:
        source_of(tmp_path)
    message = str(error.value)
    assert "none of the 1 annotated videos" in message and str(tmp_path / "v2" / "full_scale") in message
    assert message.endswith(f"download with: python cli.py download-ego4d --data-dir {tmp_path}")


def test_videos_that_are_not_on_disk_are_counted_and_their_classes_kept(tmp_path):
    train = [moments_video(U1, "train", [label("b")]), moments_video(U2, "train", [label("a")])]
    write(tmp_path, {"moments_train.json": {"videos": train}}, on_disk=[f"full_scale/{u}.mp4" for u in (U1, U3)])
    source = source_of(tmp_path)
    assert source.classes == ("a", "b") and source.missing == (U2,)
    assert [clip.label for clip in source.clips] == [1]
    notes = " | ".join(source.notes)
    assert "annotated videos that are not on disk, skipped: train: moments 1" in notes
    assert "videos on disk without annotations of the kind, skipped: moments 1" in notes


def test_a_file_of_class_names_makes_clips_unlabeled(tmp_path):
    write(tmp_path / "data", GOOD)
    (tmp_path / "names").write_text("one\ntwo")
    source = open_sources(tmp_path / "data", SimpleNamespace(classes=tmp_path / "names"))["moments"]
    assert source.classes == ("one", "two") and [clip.label for clip in source.clips] == [UNLABELED]


def test_missing_metadata_is_an_error_with_the_download_command(tmp_path):
    with pytest.raises(InputError, match=r"there is no ego4d.json in .*download-ego4d --data-dir .* --num-videos 0"):
        ego4d_sources(tmp_path, Ego4dOptions())
