"""Ego4D files with gaps: missing parts that are not errors, and errors that must be reported."""

import json

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from tests.support.ego4d_files import (
    C1,
    C2,
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


def test_a_window_outside_its_own_clip_goes_to_the_file_that_shows_it_or_is_dropped(tmp_path):
    clips = [{"clip_uid": uid, "video_uid": U1, "video_start_sec": s, "video_end_sec": s + 30.0}
             for uid, s in ((C1, 0.0), (C2, 49.9))]  # fmt: skip
    labels = [label("elsewhere", 60, 70), label("nowhere", 40, 45), label("a sliver", 40, 50), label("here", 5, 6)]
    files = {"moments_train.json": moments(*labels, split="train")}
    write(tmp_path, files, on_disk=[f"clips/{c}.mp4" for c in (C1, C2)], clips=clips)
    source = source_of(tmp_path)
    assert [(name, round(start, 6)) for _, start, _, name, _ in named(source)] == [("here", 5.0), ("elsewhere", 10.1)]
    assert any(
        "clips of which no file on disk shows at least half, dropped: moments 2" in note for note in source.notes
    )


CLIPS = {
    "outside": ({"video_start_sec": 500.0, "video_end_sec": 900.0}, "entries outside their video, dropped"),
    "backwards": ({"video_start_sec": 9.0, "video_end_sec": 5.0}, "entries that end before they start, dropped"),
    "unknown video": ({"video_uid": "nobody", "video_start_sec": 0.0, "video_end_sec": 5.0},
                  "entries about videos that ego4d.json does not list, dropped"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), CLIPS.values(), ids=CLIPS.keys())
def test_invalid_clips_of_the_metadata_are_dropped(tmp_path, changes, reason):
    sound = {"clip_uid": C2, "video_uid": U1, "video_start_sec": 0.0, "video_end_sec": 50.0}
    files = {"moments_train.json": moments(label("a", 1, 9), label("b", 52, 58), split="train")}
    on_disk = [f"clips/{uid}.mp4" for uid in (C1, C2)]
    write(tmp_path, files, on_disk=on_disk, clips=[{"clip_uid": C1, "video_uid": U1, **changes}, sound])
    source = source_of(tmp_path)
    assert [video.source for video in source.videos] == [f"v2/clips/{C2}.mp4"]
    assert any(f"{reason}: ego4d.json 1 (e.g. ego4d.json: clips[0]: got " in note for note in source.notes)
    with pytest.raises(InputError, match=r"ego4d.json: clips\[0\]: (times|video_end_sec|video_uid): expected"):
        source_of(tmp_path, strict=True)


def test_a_clip_that_ends_after_its_video_is_clamped(tmp_path):
    clip = {"clip_uid": C1, "video_uid": U1, "video_start_sec": 60.0, "video_end_sec": 130.0}
    files = {"moments_train.json": moments(label("a", 90, 120), split="train")}
    source = source_of(write(tmp_path, files, on_disk=[f"clips/{C1}.mp4"], clips=[clip]))
    assert [(c.start_sec, c.end_sec) for c in source.clips] == [(30.0, 40.0)]
    assert source.videos[0].listed_sec == (0.0, 40.0)
    assert any(
        "entries that extend beyond their video, clamped: moments 1, ego4d.json 1" in note for note in source.notes
    )


def test_a_narration_far_outside_does_not_change_the_windows_of_others(tmp_path):
    texts = [narration(time) for time in (10.0, 14.9, 1e6)]
    write(tmp_path, {"narration.json": {U1: narrated(*texts)}})
    clips = source_of(tmp_path, "narrations", skip_invalid=True).clips
    assert [(c.start_sec, c.end_sec) for c in clips] == [(9.5, 10.5), (14.4, 15.4)]


def test_narrations_just_outside_the_video_are_not_errors(tmp_path):
    video = listed(U1, video_metadata={"video_start_sec": 0.021})
    write(
        tmp_path, {"narration.json": {U1: narrated(narration(0.0), narration(50.0), narration(100.05))}}, videos=[video]
    )
    spans = [(c.start_sec, c.end_sec) for c in source_of(tmp_path, "narrations").clips]
    assert len(spans) == 3 and spans[0][0] == 0.021 and spans[-1][1] == 100.021


def test_annotators_are_identified_by_uid_not_by_list_position(tmp_path):
    twice = moments_video(U1, "train", [label("a", 0, 10)], [label("a", 0, 10)], [label("b", 0, 10)])
    for annotation, name in zip(twice["clips"][0]["annotations"], "xxy", strict=True):
        annotation["annotator_uid"] = name
    source = source_of(write(tmp_path, {"moments_train.json": {"videos": [twice]}}))
    assert source.classes == ("a", "b") and len(source.clips) == 2  # one against one: a tie


def test_a_clip_with_thousands_of_labels_is_dropped(tmp_path):
    many = moments(*[label("a", 0, i / 1000 + 1) for i in range(3000)], uid=U1, split="train")
    write(tmp_path, {"moments_train.json": {"videos": many["videos"] + MOMENTS_OF_U2["moments_train.json"]["videos"]}})
    source = source_of(tmp_path)
    assert {clip.video_uid for clip in source.clips} == {U2}
    assert any("clips with more than 1000 labels, dropped: moments 1 (e.g." in note for note in source.notes)


def test_only_the_first_of_duplicate_narrated_videos_is_used(tmp_path):
    write(tmp_path, {"narration.json": {}})
    one, other = (json.dumps(narrated(narration(time))) for time in (5.0, 9.0))
    (tmp_path / "v2/annotations/narration.json").write_text(f'{{"{U1}": {one}, "{U1}": {other}}}')
    source = source_of(tmp_path, "narrations")
    assert [clip.start_sec for clip in source.clips] == [4.5]
    assert any("duplicates, only the first is used: videos: narrations 1" in note for note in source.notes)


@pytest.mark.parametrize(("name", "document", "kind"), [
    ("fho_lta_train.json", {"clips": [lta(U1)]}, "lta-verbs"),
    ("fho_main.json", {"videos": [fho_video(U1, action())]}, "fho-verbs"),
    ("moments_train.json", moments(label(), split="train"), "moments"),
])  # fmt: skip
def test_an_entry_naming_a_clip_of_another_video_is_dropped(tmp_path, name, document, kind):
    clip = {"clip_uid": C1, "video_uid": U2, "video_start_sec": 0, "video_end_sec": 50}
    write(tmp_path, {name: document}, [listed(U1, split_fho="train"), listed(U2)], clips=[clip])
    source = source_of(tmp_path, kind)
    assert source.clips == ()
    assert any(
        f"entries that name a clip of another video, dropped: {kind} 1" in note and C1 in note for note in source.notes
    )
    with pytest.raises(InputError, match=f"clip_uid: expected a clip of its video, not of {U2}"):
        source_of(tmp_path, kind, strict=True)


def test_gaps_that_real_files_have_are_not_errors(tmp_path):
    test = moments_video(U2, "test")
    del test["split"], test["clips"][0]["annotations"]
    bare = {"video_uid": U1, "annotated_intervals": None}
    documents = {
        "moments_train.json": moments(label(), split="train"),
        "moments_test_unannotated.json": {"videos": [test]},
        "fho_main.json": {"videos": [bare, fho_video(U2, action(verb="[other]"))]},
        "fho_main_taxonomy.json": {"verbs": ["take"], "nouns": ["cup"]},
        "all_narrations_redacted.json": {"videos": {U1: {"narrations": None}, U2: {}, U3: {"narrations": [
            {"time": 1.0, "text": None}, {"time": 2.0, "text": "#C C takes it"}]}}},
    }  # fmt: skip
    write(tmp_path, documents, [listed(uid, split_fho="train") for uid in (U1, U2, U3)])
    assert [name for *_, name, _ in named(source_of(tmp_path, "moments"))] == ["wash hands", None]
    assert [name for *_, name, _ in named(source_of(tmp_path, "fho-verbs"))] == [None]
    assert [name for *_, name, _ in named(source_of(tmp_path, "narrations"))] == ["take"]


def test_the_size_of_one_member_of_an_object_is_limited_too(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_ENTRY_BYTES", 1 << 20)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 1 << 16)
    for content in ('{"u": [' + "0," * 2_000_000 + "0]}", '{"videos": [' + "1" * 3_000_000 + "]}"):
        (tmp_path / "n.json").write_text(content)
        problems = Problems()
        reading = json_stream.members(tmp_path / "n.json", "", "n", problems) if content.startswith('{"u"') else (
            json_stream.entries(tmp_path / "n.json", "videos", "n", problems))  # fmt: skip
        assert list(reading) == []
        assert "one entry of more than 1 MB" in problems.wrong_files[0]
