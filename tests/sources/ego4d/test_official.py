"""Compares this reader with official and widely used ones, re-implemented in a few lines each, over a miniature.

The miniature has every kind of invalid entry that published files have. The rules and their sources are in
docs/ego4d.md.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.annotations.registry import KIND_NAMES
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.parsing.notes import Note
from embedonce.pipeline.sources.ego4d.source import ego4d_sources, read_annotated
from embedonce.pipeline.sources.ego4d_miniature.make import documents_of
from embedonce.pipeline.sources.ego4d_miniature.plan import make_plan
from embedonce.pipeline.sources.source import Source
from tests.support.ego4d_files import named

PLAN = make_plan(0)
SETS = {"train": "train", "val": "val", "test_unannotated": "test"}
FPS = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A miniature whose videos are empty files, because only annotations are read."""
    root = tmp_path_factory.mktemp("official")
    for name, document in documents_of(PLAN, "full_scale").items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(document))
    (root / "v2/full_scale").mkdir()
    for video in PLAN.videos.values():
        if video.file_frames:
            (root / f"v2/full_scale/{video.uid}.mp4").touch()
    return root


@pytest.fixture(scope="module")
def sources(root) -> dict[str, Source]:
    return ego4d_sources(root, Ego4dOptions(annotations=",".join(KIND_NAMES), clip_splits=True))


@pytest.fixture(scope="module")
def read(root):
    """name -> content of an annotation file."""
    return lambda name: json.loads((root / "v2/annotations" / name).read_text())


@pytest.fixture(scope="module")
def videos(root) -> dict[str, dict]:
    """The videos of ego4d.json that are usable and on disk."""
    listed = json.loads((root / "ego4d.json").read_text())["videos"]
    seen = (v for v in listed if not (v["has_redacted_regions"] and not v["redacted_intervals"]))
    return {v["video_uid"]: v for v in seen if (root / f"v2/full_scale/{v['video_uid']}.mp4").is_file()}


def clamped(video: dict, start: float, end: float) -> tuple[float, float] | None:
    first = video["video_metadata"]["video_start_sec"]
    start, end = max(start, first), min(end, first + video["duration_sec"])
    return (round(start, 6), round(end, 6)) if start < end else None


def clip_counts(source: Source) -> Counter:
    """(video, start, end, name, split) -> clips."""
    return Counter((uid, round(start, 6), round(end, 6), name, split) for uid, start, end, name, split in named(source))


def noted(source: Source, words: str) -> int:
    """The number after these words in the notes; 0 if no note has them."""
    counts = [re.search(re.escape(words) + r" (\d+)", note) for note in source.notes]
    return next((int(match[1]) for match in counts if match), 0)


# moments: the MQ baseline keeps primary labels of all annotators and clamps times


def test_moments_agree_with_the_moments_queries_baseline(sources, read, videos):
    raw, seen = [], set()
    for split in ("train", "val"):
        for video in read(f"moments_{split}.json")["videos"]:
            video_entry = videos.get(video["video_uid"])
            for clip in video["clips"] if video_entry else ():
                key = video["video_uid"], clip["clip_uid"]
                if key in seen:
                    continue
                seen.add(key)
                for one in (one for a in clip["annotations"] for one in a["labels"]):
                    times = clamped(video_entry, one["video_start_time"], one["video_end_time"])
                    if one["primary"] is True and one["label"] and times:
                        raw.append((video["video_uid"], one["label"], split))
    source = sources["moments"]
    merged = noted(source, "merged with the same label: moments")
    outvoted = noted(source, "outvoted, dropped: moments")
    labeled = [(uid, name, split) for uid, _, _, name, split in named(source) if split != "test"]
    assert len(raw) == len(labeled) + merged + outvoted and (merged, outvoted) == (2, 1)
    assert set(raw) - set(labeled) == {(PLAN.videos["plain"].uid, "cut_/_chop_food", "train")} - set(labeled)
    tests = [clip for v in read("moments_test_unannotated.json")["videos"] if v["video_uid"] in videos
             for clip in v["clips"]]  # fmt: skip
    assert sum(split == "test" for *_, split in named(source)) == len(tests) == 1


# FHO: the official notebook's filter, EILEV's noun, the splits of the benchmarks' own files


def fho_actions(read, videos):
    """(uid, entry of the video, clip_uid, action) of every usable action."""
    seen = set()
    for video in read("fho_main.json")["videos"]:
        video_entry = videos.get(video["video_uid"])
        for interval in video["annotated_intervals"] if video_entry else ():
            for one in interval["narrated_actions"]:
                is_good = one["is_valid_action"] and not (one["is_rejected"] or one["is_invalid_annotation"])
                if is_good and one["stage"] is not None and one["uid"] not in seen:
                    seen.add(one["uid"])
                    yield video["video_uid"], video_entry, interval["clip_uid"], one


def fho_split(read, video_entry: dict, clip_uid: str | None) -> str | None:
    for part, split in SETS.items():
        for family, key in (("lta", "clips"), ("sta", "annotations"), ("oscc-pnr", "clips")):
            if clip_uid and any(c.get("clip_uid") == clip_uid for c in read(f"fho_{family}_{part}.json")[key]):
                return split
    return video_entry["split_fho"] if video_entry["split_fho"] in SETS.values() else None


def eilev_noun(action: dict) -> str | None:
    if action["frames"] is None:
        return None
    for kind in ("pnr_frame", "contact_frame", "pre_frame", "post_frame", "pre_15", "pre_30", "pre_45"):
        for frame in (frame for frame in action["frames"] if frame["frame_type"] == kind):
            for box in frame["boxes"]:
                if box["object_type"] == "object_of_change" and box["structured_noun"] is not None:
                    return box["structured_noun"]
    return None


@pytest.mark.parametrize("kind", ["fho-verbs", "fho-nouns"])
@pytest.mark.parametrize("window", ["action", "critical"])
def test_fho_actions_agree_with_the_official_notebook_and_eilev(root, read, videos, kind, window):
    words, expected = kind.removeprefix("fho-"), Counter()
    taxonomy = read("fho_main_taxonomy.json")[words]
    for uid, video_entry, clip_uid, one in fho_actions(read, videos):
        name = one["structured_verb"] if words == "verbs" else eilev_noun(one)
        times = one["start_sec"], one["end_sec"]
        if window == "critical":
            frames = one["critical_frames"]
            if frames is None:
                continue
            first = video_entry["video_metadata"]["video_start_sec"]
            times = first + frames["pre_frame"] / FPS, first + frames["post_frame"] / FPS
        times, split = clamped(video_entry, *times), fho_split(read, video_entry, clip_uid)
        if times and split:
            expected[uid, *times, name if name in taxonomy else None, split] += 1
    source = ego4d_sources(root, Ego4dOptions(annotations=kind, clip_splits=True, fho_window=window))[kind]
    assert clip_counts(source) == expected and sum(expected.values()) > 12
    assert {split for *_, split in expected} == {"train", "val"} and None in {name for *_, name, _ in expected}


# LTA: the forecasting repository sorts by action_idx and adds the clip's start


@pytest.mark.parametrize("word", ["verb", "noun"])
def test_lta_windows_agree_with_the_forecasting_repository(sources, read, videos, word):
    taxonomy, expected = read("fho_lta_taxonomy.json")[f"{word}s"], Counter()
    for part, split in SETS.items():
        clips = [c for c in read(f"fho_lta_{part}.json")["clips"] if c["video_uid"] in videos]
        windows = set()
        for clip in sorted(clips, key=lambda c: (c["clip_uid"], c["action_idx"] or 0)):
            span = (clip["clip_parent_start_sec"] + clip[f"action_clip_{end}_sec"] for end in ("start", "end"))
            name = taxonomy[clip[f"{word}_label"]] if clip.get(word) in taxonomy else None
            windows.add((clip["video_uid"], *(round(sec, 6) for sec in span), name, split))
        expected.update(windows)
    assert clip_counts(sources[f"lta-{word}s"]) == expected and sum(expected.values()) > 10
    assert len({split for *_, split in expected}) == 3


# object state change, GoalStep


def test_oscc_windows_agree_with_their_files(sources, read, videos):
    expected = set()
    for part, split in SETS.items():
        for clip in read(f"fho_oscc-pnr_{part}.json")["clips"]:
            names = {True: "object state change", False: "no object state change"}
            if clip["video_uid"] in videos:
                times = clamped(videos[clip["video_uid"]], clip["parent_start_sec"], clip["parent_end_sec"])
                expected.add((clip["video_uid"], *times, names.get(clip.get("state_change")), split))
    assert clip_counts(sources["oscc"]) == Counter(expected)


def test_goalstep_segments_agree_with_the_grounding_baseline(sources, read, videos):
    expected = set()
    for split in ("train", "val"):
        for video in read(f"goalstep_{split}.json")["videos"]:
            video_entry = videos.get(video["video_uid"])
            steps = [s for step in video["segments"] for s in (step, *step["segments"])] if video_entry else []
            for step in steps:
                times = clamped(video_entry, step["start_time"], step["end_time"])
                if times and step["step_category"]:
                    expected.add((video["video_uid"], *times, step["step_category"], split))
    assert {key for key in clip_counts(sources["goalstep"]) if key[-1] != "test"} == expected
    assert sum(split == "test" for *_, split in named(sources["goalstep"])) == 1


# narrations: CLEP keeps a video out of train if any benchmark holds it out


def clep_split(video_entry: dict) -> str:
    splits = [video_entry[name] for name in ("split_em", "split_fho", "split_av", "split_goalstep")]
    if "test" in splits:
        return "test"
    return "val" if "val" in splits or "multi" in splits else "train"


def test_splits_of_narrations_agree_with_clep(sources, read, videos):
    expected = Counter()
    for uid, video in read("narration.json").items():
        for number in (1, 2):
            for one in video.get(f"narration_pass_{number}", {"narrations": []})["narrations"] if uid in videos else ():
                time = one["timestamp_sec"]
                is_usable = time is not None and time <= videos[uid]["duration_sec"] + 1
                if is_usable and re.match(r"#c\b", one["narration_text"] or "", re.IGNORECASE):
                    expected[uid, clep_split(videos[uid])] += 1
    clips = Counter((uid, split) for uid, *_, split in named(sources["narrations"]))
    assert clips == expected and {split for _, split in expected} == {"train", "val", "test"}


# notes


DUPLICATE_VIDEOS, DUPLICATE_CLIPS = ("duplicate", "videos"), ("duplicate", "clips")
NOTES = {  # kind -> (code of the reason, detail) -> count
    "moments": {
        DUPLICATE_VIDEOS: 1,
        DUPLICATE_CLIPS: 1,
        ("unknown-video", ""): 2,
        ("null-value", "label"): 1,
        ("empty-text", "label"): 1,
        ("null-primary", ""): 1,
        ("clamped", ""): 1,
        ("outside-video", ""): 1,
    },
    "fho-verbs": {
        DUPLICATE_VIDEOS: 1,
        DUPLICATE_CLIPS: 1,
        ("duplicate", "actions"): 1,
        ("unknown-video", ""): 1,
        ("unknown-label", ""): 1,
        ("clamped", ""): 1,
        ("outside-video", ""): 1,
    },
    "lta-verbs": {
        DUPLICATE_CLIPS: 1,
        ("ordered-by-time", "not a number"): 1,
        ("ordered-by-time", "repeated"): 1,
        ("unknown-video", ""): 2,
        ("unknown-label", ""): 1,
    },
    "oscc": {DUPLICATE_CLIPS: 1, ("unknown-video", ""): 1, ("null-state-change", ""): 1},
    "goalstep": {
        DUPLICATE_VIDEOS: 1,
        ("unknown-video", ""): 1,
        ("null-value", "step_category"): 1,
        ("empty-text", "step_category"): 1,
        ("clamped", ""): 1,
    },
    "narrations": {
        ("unknown-video", ""): 1,
        ("null-value", "narration_text"): 1,
        ("empty-text", "narration_text"): 1,
        ("outside-video", ""): 1,
    },
}
NOTES |= {"fho-nouns": NOTES["fho-verbs"], "lta-nouns": NOTES["lta-verbs"]}
METADATA_NOTES = {("unlisted-redactions", ""): 1, DUPLICATE_CLIPS: 1, ("unknown-video", ""): 1}


def counted(notes: list[Note]) -> dict[tuple[str, str], int]:
    """(code, detail) -> count of the notes about invalid entries, every one of which has an example."""
    invalid = [note for note in notes if note.example]
    assert all(re.match(r"(ego4d\.json|v2/annotations/\w[\w-]*\.json): .+: got ", note.example) for note in invalid)
    counts = {(note.reason.code, note.detail): note.count for note in invalid}
    assert len(counts) == len(invalid)
    return counts


@pytest.mark.parametrize("kind", NOTES)
@pytest.mark.integration
def test_each_invalid_entry_of_the_miniature_is_counted_in_one_note(root, sources, kind):
    annotated = read_annotated(root, Ego4dOptions(annotations=kind))
    assert counted(annotated.readers[kind].problems.notes(kind)) == NOTES[kind]
    assert counted(list(annotated.notes)) == METADATA_NOTES
    unclear = PLAN.videos["veiled"].uid
    assert unclear not in {video.uid for video in sources[kind].videos} and unclear not in sources[kind].missing
    with pytest.raises(InputError) as error:
        ego4d_sources(root, Ego4dOptions(annotations=kind, strict=True))
    count = sum(NOTES[kind].values()) + sum(METADATA_NOTES.values())
    assert str(error.value).startswith(f"{count} problems in the annotations under")


def test_null_times_and_stages_and_rejected_actions_are_counted(sources):
    assert noted(sources["narrations"], "no time: narrations") == 1
    assert (
        noted(sources["fho-verbs"], "stage is null (the official notebook skips them, others keep them): fho-verbs")
        == 1
    )
    assert noted(sources["fho-verbs"], "actions skipped: rejected or invalid: fho-verbs") == 3
    assert noted(sources["fho-verbs"], "annotated intervals without actions: test set, not public: fho-verbs") == 1


def test_a_note_about_several_kinds_is_one_line_in_each_of_them(sources):
    lines = {kind: {line for line in source.notes if line.startswith("duplicates")} for kind, source in sources.items()}
    (line,) = lines["moments"]
    assert "; videos: moments 1, fho-verbs 1, fho-nouns 1, goalstep 1; actions: fho-verbs 1, fho-nouns 1 (e.g." in line
    assert {kind for kind, own in lines.items() if own == {line}} == set(KIND_NAMES)
    assert not any(line.startswith("labels of several annotators") for line in sources["oscc"].notes)
    merged = dict.fromkeys(note for source in sources.values() for note in source.notes)
    assert len(merged) < 25 < sum(len(source.notes) for source in sources.values())


def test_strictness_counts_the_problems_of_every_file_once(root):
    with pytest.raises(InputError) as error:
        ego4d_sources(root, Ego4dOptions(annotations="moments,fho-verbs,fho-nouns", strict=True))
    count = sum(sum(counts.values()) for counts in (NOTES["moments"], NOTES["fho-verbs"], METADATA_NOTES))
    assert str(error.value).startswith(f"{count} problems in the annotations under")
