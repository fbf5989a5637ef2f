"""What is wrong with an Ego4D download: every fault in one list of file, index, field and expectation."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ego4d import streams
from pipeline.ego4d.problems import SHOWN, Problems
from pipeline.ego4d.source import ego4d_sources
from pipeline.errors import InputError
from pipeline.opening import open_sources
from pipeline.sources import UNLABELLED, SourceOptions
from tests.ego4d_files import (
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
KIND_OF = {
    "moments_val.json": "moments",
    "fho_main.json": "fho-verbs",
    "fho_lta_train.json": "lta-nouns",
    "narration.json": "narrations",
}


BAD = {
    "moments: missing uid": ("moments_val.json", {"videos": [{"split": "val", "clips": []}]},
                             "videos[0]: video_uid: expected a uid", "got nothing"),
    "unsafe uid": ("moments_val.json", moments(uid="../../x"), "videos[0]: video_uid: expected a uid", "'../../x'"),
    "uid type": ("moments_val.json", moments(uid=7), "videos[0]: video_uid: expected a uid", "got 7"),
    "unknown uid": ("moments_val.json", moments(uid="nobody"), "video_uid: expected a video of ego4d.json", "'nobody'"),
    "split": ("moments_val.json", moments(split="training"), "split: expected val in this file", "got 'training'"),
    "twice": ("moments_val.json", {"videos": [moments_video(U1, "val", [label()])] * 2},
              "videos[1]: video_uid: expected a uid that no other entry of the file has", U1),
    "clips": ("moments_val.json", {"videos": [{"video_uid": U1, "split": "val", "clips": {}}]},
              "videos[0]: clips: expected a list", "got {}"),
    "entry": ("moments_val.json", {"videos": [3]}, "videos[0]: entry: expected an object", "got 3"),
    "labels": ("moments_val.json", moments(annotations=[{}]),
               "videos[0].clips[0].annotations[0]: labels: expected a list", "got nothing"),
    "name": ("moments_val.json", moments(label("a"), label("")), "labels[1]: label: expected a class name", "got ''"),
    "primary": ("moments_val.json", moments(label(primary="yes")), "labels[0]: primary: expected true", "'yes'"),
    "order": ("moments_val.json", moments(label(start=5, end=2)),
              "labels[0]: video_end_time: expected at least video_start_time 5", "got 2"),
    "text": ("moments_val.json", moments(label(start="1")), "labels[0]: video_start_time: expected seconds", "got '1'"),
    "bool": ("moments_val.json", moments(label(end=True)), "labels[0]: video_end_time: expected seconds", "got True"),
    "null": ("moments_val.json", moments(label(end=None)), "labels[0]: video_end_time: expected seconds", "got None"),
    "huge": ("moments_val.json", moments(label(end=1e300)), "labels[0]: video_end_time: expected seconds", "1e+300"),
    "late": ("moments_val.json", moments(label(end=LASTS + 2)), "clips[0]: times: expected times in the video",
             "[0, 100] s, got (1.0, 102.0)"),
    "fho: flag": ("fho_main.json", {"videos": [fho_video(U1, action(is_rejected="no"))]},
                  "videos[0].annotated_intervals[0].narrated_actions[0]: is_rejected: expected true or false", "'no'"),
    "fho: verb": ("fho_main.json", {"videos": [fho_video(U1, action(verb=3))]}, "structured_verb: expected a", "3"),
    "fho: twice": ("fho_main.json", {"videos": [fho_video(U1, action(uid="n"), action(uid="n"))]},
                   "narrated_actions[1]: uid: expected a uid that no other action has", "got 'n'"),
    "fho: early": ("fho_main.json", {"videos": [fho_video(U1, action(-2.0))]}, "times: expected", "(-2.0, 9.0)"),
    "lta: index": ("fho_lta_train.json", {"clips": [lta(U1, None)]}, "clips[0]: action_idx: expected a whole", "None"),
    "lta: twice": ("fho_lta_train.json", {"clips": [lta(U1), lta(U1)]}, "clips[1]: action_idx: expected a number", "0"),
    "lta: clip": ("fho_lta_train.json", {"clips": [lta(U1, clip_uid=None)]}, "clips[0]: clip_uid: expected", "None"),
    "narration: time": ("narration.json", {U1: narrated(narration("3"))},
                        "narration_pass_1.narrations[0]: timestamp_sec: expected seconds", "got '3'"),
    "narration: late": ("narration.json", {U1: narrated(narration(103.0))}, "timestamp_sec: expected times in", "103"),
    "narration: text": ("narration.json", {U1: narrated(narration(1.0, " "))}, "narration_text: expected a", "' '"),
    "narration: uid": ("narration.json", {"nobody": narrated(narration(1.0))}, "expected a video of", "nobody"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "document", "place", "got"), BAD.values(), ids=BAD.keys())
def test_malformed_annotations(tmp_path, name, document, place, got):
    write(tmp_path, GOOD | {name: document})
    with pytest.raises(InputError) as error:
        source_of(tmp_path, KIND_OF[name])
    first, *lines = str(error.value).splitlines()
    assert first.startswith("1 problem in the annotations under") and "--skip-invalid" in first
    assert len(lines) == 1
    assert lines[0].strip().startswith(f"v2/annotations/{name}: ")
    assert place in lines[0] and got in lines[0]
    write(tmp_path, {name: document})
    if name == "moments_val.json":  # what is sound of the other file is read still
        source = source_of(tmp_path, "moments", skip_invalid=True)
        assert (U2, 1, 3, "wash hands", "train") in named(source)
        assert any("1 invalid entry was left out of the annotations, such as " in note for note in source.notes)


METADATA = {
    "no duration": ({"duration_sec": None}, "duration_sec: expected seconds as a number, got None"),
    "no time": ({"duration_sec": 0}, "duration_sec: expected more than 0 seconds, got 0"),
    "stereo": ({"is_stereo": "left"}, "is_stereo: expected true or false, got 'left'"),
    "start": ({"video_metadata": {"video_start_sec": "0"}}, "video_metadata: video_start_sec: expected seconds"),
    "redacted": (
        {"redacted_intervals": [{"start_sec": 5, "end_sec": 1}]},
        "redacted_intervals[0]: end_sec: expected at",
    ),
    "hidden": (
        {"has_redacted_regions": True},
        "redacted_intervals: expected intervals in the video",
    ),
    "scenarios": ({"scenarios": "cooking"}, "scenarios: expected a list of names, got 'cooking'"),
}


@pytest.mark.parametrize(("changes", "message"), METADATA.values(), ids=METADATA.keys())
def test_malformed_metadata(tmp_path, changes, message):
    write(tmp_path, GOOD, videos=[listed(U2, **changes), listed(U1)])
    with pytest.raises(InputError) as error:
        source_of(tmp_path)
    assert f"ego4d.json: videos[0]{'.' if '].' in message else ''}" in str(error.value) and message in str(error.value)


def test_a_video_listed_twice(tmp_path):
    write(tmp_path, GOOD, videos=[listed(U2), listed(U2)])
    with pytest.raises(InputError, match=r"ego4d.json: videos\[1\]: video_uid: expected a uid that no other video has"):
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
def test_wrong_files_altogether(tmp_path, name, content, message):
    write(tmp_path, GOOD)
    if content is None:
        if name == "ego4d.json":
            return
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        streams_problems = Problems()
        assert list(streams.entries(tmp_path / name, "videos", name, streams_problems)) == []
        assert message in streams_problems.wrong_files[0]
        return
    (tmp_path / name).write_bytes(content)
    for skip_invalid in (False, True):  # a wrong file is never skipped
        with pytest.raises(InputError) as error:
            source_of(tmp_path, skip_invalid=skip_invalid)
        assert f"{name}: {message}" in str(error.value) and "download them again" in str(error.value)


def test_a_broken_file_says_how_far_it_was_read(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "v2/annotations/narration.json").write_text(
        json.dumps({U1: narrated(narration(1.0))})[:-1] + ', "x": ]'
    )
    with pytest.raises(InputError, match=rf"after '{U1}'"):
        source_of(tmp_path, "narrations")


@pytest.mark.parametrize("content", ["[1]", '{"verbs": []}', '{"verbs": ["a", "a"]}', '{"verbs": ["a", 3]}', "{"])
def test_a_taxonomy_that_is_none(tmp_path, content):
    write(tmp_path, GOOD)
    (tmp_path / "v2/annotations/fho_main_taxonomy.json").write_text(content)
    with pytest.raises(InputError, match=r"fho_main_taxonomy.json: content: expected"):
        source_of(tmp_path, "fho-verbs")


def test_many_problems_are_counted_and_some_shown(tmp_path):
    write(
        tmp_path,
        {"moments_train.json": moments(*[label(end=None)] * 30, split="train"), "moments_val.json": moments()},
    )
    with pytest.raises(InputError) as error:
        source_of(tmp_path)
    first, *lines = str(error.value).splitlines()
    assert first.startswith("30 problems") and f"the first {SHOWN} of them" in first and len(lines) == SHOWN


def test_brackets_in_strings_and_escapes_do_not_nest(tmp_path):
    text = '[{"\\' * 500
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0, f"#C C takes {text}")] * 300)}})
    assert (tmp_path / "v2/annotations/narration.json").stat().st_size > streams.CHUNK_BYTES / 2
    assert len(source_of(tmp_path, "narrations").videos) == 1


def test_one_entry_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_ENTRY_BYTES", 1 << 20)
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1 << 16)
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0)] * 4000)} | {U2: narrated(narration(1.0))}})
    assert source_of(tmp_path, "narrations").videos  # 0.5 MB
    write(tmp_path, {"narration.json": {U1: narrated(*[narration(1.0)] * 40_000)}})
    with pytest.raises(InputError, match="expected annotations, got 'one entry of more than 1 MB'"):
        source_of(tmp_path, "narrations")


READING = """
import resource, sys
from pathlib import Path
from pipeline.ego4d.problems import Problems
from pipeline.ego4d.streams import members
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = members(Path(sys.argv[1]), "", "n", Problems())
count = sum(len(value["narration_pass_1"]["narrations"]) for _, _, value in found)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    one = json.dumps(narrated(*[narration(float(i)) for i in range(300)]))
    grown = []
    for videos in (30, 1200):
        with (tmp_path / "n.json").open("w") as file:
            file.write("{" + ",".join(f'"v{i}": {one}' for i in range(videos)) + "}")
        ran = subprocess.run(
            [sys.executable, "-c", READING, tmp_path / "n.json"], cwd=Path(__file__).parents[1], capture_output=True
        )
        count, kilobytes = map(int, ran.stdout.split())
        assert count == 300 * videos
        grown.append(kilobytes)
    assert (tmp_path / "n.json").stat().st_size > 20e6
    assert grown[1] < grown[0] + 8000  # a file 40 times as large


# where things are


@pytest.mark.parametrize("place", ["v2/annotations", "v2_1/annotations", "v1/annotations", "annotations"])
@pytest.mark.parametrize("metadata", ["ego4d.json", "v2/ego4d.json", "v1/ego4d.json"])
def test_where_annotations_may_lie(tmp_path, place, metadata):
    write(tmp_path, GOOD, folder=place)
    (tmp_path / metadata).parent.mkdir(exist_ok=True)
    (tmp_path / "ego4d.json").rename(tmp_path / metadata)
    assert len(open_sources(tmp_path)["moments"].clips) == 1


def test_the_canonical_file_is_preferred_then_the_small_one_then_clips(tmp_path):
    clip = {"clip_uid": C1, "video_start_sec": 0.0, "video_end_sec": 50.0}
    videos = [moments_video(U1, "train", [label()], clip_uid=C2), moments_video(U2, "train", [label()])]
    files = {"moments_train.json": {"videos": videos}}
    disk = [f"full_scale/{U1}.mp4", f"video_540ss/{U1}.mp4", f"video_540ss/{U2}.mp4", f"clips/{C1}.mp4", "clips/x.mp4"]
    write(tmp_path, files, on_disk=disk, clips=[clip | {"video_uid": U2}])
    source = source_of(tmp_path)
    assert [video.source for video in source.videos] == [f"v2/full_scale/{U1}.mp4", f"v2/video_540ss/{U2}.mp4"]
    assert any("1 clip files are not listed" in note for note in source.notes)


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
    assert any("1 annotated times are in no clip file" in note for note in source.notes)


def test_no_video_on_disk(tmp_path):
    write(tmp_path, GOOD, on_disk=[])
    with pytest.raises(InputError) as error:
        source_of(tmp_path)
    message = str(error.value)
    assert "none of the 1 annotated videos" in message and str(tmp_path / "v2" / "full_scale") in message
    assert message.endswith(f"download with: python cli.py download-ego4d --data-dir {tmp_path}")


def test_what_is_not_on_disk_is_counted_and_classes_stay(tmp_path):
    train = [moments_video(U1, "train", [label("b")]), moments_video(U2, "train", [label("a")])]
    write(tmp_path, {"moments_train.json": {"videos": train}}, on_disk=[f"full_scale/{u}.mp4" for u in (U1, U3)])
    source = source_of(tmp_path)
    assert source.classes == ("a", "b") and source.missing == (U2,)
    assert [clip.label for clip in source.clips] == [1]
    notes = " | ".join(source.notes)
    assert "1 annotated videos (1 train) are not on disk" in notes and "1 videos on disk have no such" in notes


def test_class_names_over_ego4d(tmp_path):
    write(tmp_path / "data", GOOD)
    (tmp_path / "names").write_text("one\ntwo")
    source = open_sources(tmp_path / "data", SourceOptions(classes_file=tmp_path / "names"))["moments"]
    assert source.classes == ("one", "two") and [clip.label for clip in source.clips] == [UNLABELLED]


def test_no_metadata(tmp_path):
    with pytest.raises(InputError, match=r"there is no ego4d.json in .*download-ego4d --data-dir .* --num-videos 0"):
        ego4d_sources(tmp_path, SourceOptions())
