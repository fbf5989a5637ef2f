"""Official and widely used readers, re-implemented in a few lines each, say the same of a miniature as this program.

The miniature has every oddity of published files. The rules, with their sources, are in docs/ego4d.md.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.annotation_kinds import KIND_NAMES
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.source import ego4d_sources
from embedonce.pipeline.sources.ego4d_miniature.make import documents_of
from embedonce.pipeline.sources.ego4d_miniature.plan import make_plan
from embedonce.pipeline.sources.source import Source
from tests.support.ego4d_files import named

PLAN = make_plan(0)
SETS = {"train": "train", "val": "val", "test_unannotated": "test"}
FPS = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A miniature whose videos are empty files: annotations alone are read here."""
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
    """The videos of ego4d.json that may be looked at and are on disk."""
    listed = json.loads((root / "ego4d.json").read_text())["videos"]
    seen = (v for v in listed if not (v["has_redacted_regions"] and not v["redacted_intervals"]))
    return {v["video_uid"]: v for v in seen if (root / f"v2/full_scale/{v['video_uid']}.mp4").is_file()}


def clamped(video: dict, start: float, end: float) -> tuple[float, float] | None:
    first = video["video_metadata"]["video_start_sec"]
    start, end = max(start, first), min(end, first + video["duration_sec"])
    return (round(start, 6), round(end, 6)) if start < end else None


def found(source: Source) -> Counter:
    """(video, start, end, name, split) -> clips."""
    return Counter((uid, round(start, 6), round(end, 6), name, split) for uid, start, end, name, split in named(source))


def told(source: Source, words: str) -> int:
    """The number before these words in the notes; 0 where no note has them."""
    counts = [re.search(r"(\d+) " + re.escape(words), note) for note in source.notes]
    return next((int(match[1]) for match in counts if match), 0)


# moments: the MQ baseline keeps primary labels, clamps times, and takes every annotator's


def test_moments_as_the_baseline_of_moments_queries_reads_them(sources, read, videos):
    raw, seen = [], set()
    for split in ("train", "val"):
        for video in read(f"moments_{split}.json")["videos"]:
            facts = videos.get(video["video_uid"])
            for clip in video["clips"] if facts else ():
                key = video["video_uid"], clip["clip_uid"]
                if key in seen:
                    continue
                seen.add(key)
                for one in (one for a in clip["annotations"] for one in a["labels"]):
                    times = clamped(facts, one["video_start_time"], one["video_end_time"])
                    if one["primary"] is True and one["label"] and times:
                        raw.append((video["video_uid"], one["label"], split))
    source = sources["moments"]
    merged = told(source, "labels repeat another annotator's")
    outvoted = told(source, "labels were outvoted")
    labeled = [(uid, name, split) for uid, _, _, name, split in named(source) if split != "test"]
    assert len(raw) == len(labeled) + merged + outvoted and (merged, outvoted) == (2, 1)
    assert set(raw) - set(labeled) == {(PLAN.videos["plain"].uid, "cut_/_chop_food", "train")} - set(labeled)
    tests = [clip for v in read("moments_test_unannotated.json")["videos"] if v["video_uid"] in videos
             for clip in v["clips"]]  # fmt: skip
    assert sum(split == "test" for *_, split in named(source)) == len(tests) == 1


# FHO: the official notebook's filter, EILEV's noun, the splits of the benchmarks' own files


def fho_actions(read, videos):
    """(uid, facts, clip_uid, action) of every action that counts."""
    seen = set()
    for video in read("fho_main.json")["videos"]:
        facts = videos.get(video["video_uid"])
        for interval in video["annotated_intervals"] if facts else ():
            for one in interval["narrated_actions"]:
                is_good = one["is_valid_action"] and not (one["is_rejected"] or one["is_invalid_annotation"])
                if is_good and one["stage"] is not None and one["uid"] not in seen:
                    seen.add(one["uid"])
                    yield video["video_uid"], facts, interval["clip_uid"], one


def fho_split(read, facts: dict, clip_uid: str | None) -> str | None:
    for part, split in SETS.items():
        for family, key in (("lta", "clips"), ("sta", "annotations"), ("oscc-pnr", "clips")):
            if clip_uid and any(c.get("clip_uid") == clip_uid for c in read(f"fho_{family}_{part}.json")[key]):
                return split
    return facts["split_fho"] if facts["split_fho"] in SETS.values() else None


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
def test_actions_as_the_official_notebook_and_eilev_read_them(root, read, videos, kind, window):
    words, meant = kind.removeprefix("fho-"), Counter()
    taxonomy = read("fho_main_taxonomy.json")[words]
    for uid, facts, clip_uid, one in fho_actions(read, videos):
        name = one["structured_verb"] if words == "verbs" else eilev_noun(one)
        times = one["start_sec"], one["end_sec"]
        if window == "critical":
            frames = one["critical_frames"]
            if frames is None:
                continue
            first = facts["video_metadata"]["video_start_sec"]
            times = first + frames["pre_frame"] / FPS, first + frames["post_frame"] / FPS
        times, split = clamped(facts, *times), fho_split(read, facts, clip_uid)
        if times and split:
            meant[uid, *times, name if name in taxonomy else None, split] += 1
    source = ego4d_sources(root, Ego4dOptions(annotations=kind, clip_splits=True, fho_window=window))[kind]
    assert found(source) == meant and sum(meant.values()) > 12
    assert {split for *_, split in meant} == {"train", "val"} and None in {name for *_, name, _ in meant}


# LTA: the forecasting repository sorts by action_idx and adds the clip's start


@pytest.mark.parametrize("word", ["verb", "noun"])
def test_windows_as_the_forecasting_repository_reads_them(sources, read, videos, word):
    taxonomy, meant = read("fho_lta_taxonomy.json")[f"{word}s"], Counter()
    for part, split in SETS.items():
        clips = [c for c in read(f"fho_lta_{part}.json")["clips"] if c["video_uid"] in videos]
        windows = set()
        for clip in sorted(clips, key=lambda c: (c["clip_uid"], c["action_idx"] or 0)):
            span = (clip["clip_parent_start_sec"] + clip[f"action_clip_{end}_sec"] for end in ("start", "end"))
            name = taxonomy[clip[f"{word}_label"]] if clip.get(word) in taxonomy else None
            windows.add((clip["video_uid"], *(round(sec, 6) for sec in span), name, split))
        meant.update(windows)
    assert found(sources[f"lta-{word}s"]) == meant and sum(meant.values()) > 10
    assert len({split for *_, split in meant}) == 3


# object state change, GoalStep


def test_windows_with_and_without_state_change(sources, read, videos):
    meant = set()
    for part, split in SETS.items():
        for clip in read(f"fho_oscc-pnr_{part}.json")["clips"]:
            names = {True: "object state change", False: "no object state change"}
            if clip["video_uid"] in videos:
                times = clamped(videos[clip["video_uid"]], clip["parent_start_sec"], clip["parent_end_sec"])
                meant.add((clip["video_uid"], *times, names.get(clip.get("state_change")), split))
    assert found(sources["oscc"]) == Counter(meant)


def test_steps_and_substeps_as_the_grounding_baseline_reads_them(sources, read, videos):
    meant = set()
    for split in ("train", "val"):
        for video in read(f"goalstep_{split}.json")["videos"]:
            facts = videos.get(video["video_uid"])
            steps = [s for step in video["segments"] for s in (step, *step["segments"])] if facts else []
            for step in steps:
                times = clamped(facts, step["start_time"], step["end_time"])
                if times and step["step_category"]:
                    meant.add((video["video_uid"], *times, step["step_category"], split))
    assert {key for key in found(sources["goalstep"]) if key[-1] != "test"} == meant
    assert sum(split == "test" for *_, split in named(sources["goalstep"])) == 1


# narrations: CLEP keeps a video out of train where any benchmark holds it out


def clep_split(facts: dict) -> str:
    splits = [facts[name] for name in ("split_em", "split_fho", "split_av", "split_goalstep")]
    if "test" in splits:
        return "test"
    return "val" if "val" in splits or "multi" in splits else "train"


def test_narrations_of_a_video_are_in_the_split_that_clep_gives_it(sources, read, videos):
    meant = Counter()
    for uid, video in read("narration.json").items():
        for number in (1, 2):
            for one in video.get(f"narration_pass_{number}", {"narrations": []})["narrations"] if uid in videos else ():
                time = one["timestamp_sec"]
                is_there = time is not None and time <= videos[uid]["duration_sec"] + 1
                if is_there and re.match(r"#c\b", one["narration_text"] or "", re.IGNORECASE):
                    meant[uid, clep_split(videos[uid])] += 1
    clips = Counter((uid, split) for uid, *_, split in named(sources["narrations"]))
    assert clips == meant and {split for _, split in meant} == {"train", "val", "test"}


# what is told


REASONS = {
    "moments": {
        "videos are listed twice in a file and were taken once": 1,
        "clips are listed twice in a video and were taken once": 1,
        "entries are of videos that ego4d.json does not list and were left out": 2,
        "entries whose `label` is null were left out": 1,
        "entries whose `label` is empty or unprintable were left out": 1,
        "labels whose `primary` is null do not count as primary": 1,
        "entries reach beyond their video and were clamped": 1,
        "entries lie outside their video and were left out": 1,
    },
    "fho-verbs": {
        "videos are listed twice in a file and were taken once": 1,
        "clips are listed twice in a video and were taken once": 1,
        "actions are listed twice and were taken once": 1,
        "entries are of videos that ego4d.json does not list and were left out": 1,
        "entries have labels that the taxonomy does not list and are unlabeled": 1,
        "entries reach beyond their video and were clamped": 1,
        "entries lie outside their video and were left out": 1,
    },
    "lta-verbs": {
        "clips are listed twice in a file and were taken once": 1,
        "actions have no `action_idx` and were ordered by time": 1,
        "actions repeat an `action_idx` of their clip and were ordered by time": 1,
        "entries are of videos that ego4d.json does not list and were left out": 2,
        "entries have labels that the taxonomy does not list and are unlabeled": 1,
    },
    "oscc": {
        "clips are listed twice in a file and were taken once": 1,
        "entries are of videos that ego4d.json does not list and were left out": 1,
        "entries whose `state_change` is null are unlabeled": 1,
    },
    "goalstep": {
        "videos are listed twice in a file and were taken once": 1,
        "entries are of videos that ego4d.json does not list and were left out": 1,
        "entries whose `step_category` is null were left out": 1,
        "entries whose `step_category` is empty or unprintable were left out": 1,
        "entries reach beyond their video and were clamped": 1,
    },
    "narrations": {
        "entries are of videos that ego4d.json does not list and were left out": 1,
        "entries whose `narration_text` is null were left out": 1,
        "entries whose `narration_text` is empty were left out": 1,
        "narrations lie outside their video and were left out": 1,
    },
}
REASONS |= {"fho-nouns": REASONS["fho-verbs"], "lta-nouns": REASONS["lta-verbs"]}
OF_METADATA = {
    "videos have redacted regions by ego4d.json, which does not say where, and are not used": 1,
    "clips are listed twice and were taken once": 1,
    "clips are of videos that ego4d.json does not list and were left out": 1,
}


def reasons(notes: tuple[str, ...], prefix: str) -> dict[str, int]:
    """Reasons of odd entries and their counts; every one has an example."""
    odd = [note.removeprefix(prefix).partition(", such as ") for note in notes if ", such as " in note]
    assert all(re.search(r"(ego4d\.json|v2/annotations/\w[\w-]*\.json): .+: got ", example) for _, _, example in odd)
    split = [text.partition(" ") for text, _, _ in odd]
    assert len({reason for _, _, reason in split}) == len(split)
    return {reason: int(count) for count, _, reason in split}


@pytest.mark.parametrize("kind", REASONS)
def test_each_oddity_of_the_miniature_is_one_counted_note(root, sources, kind):
    notes = sources[kind].notes
    assert reasons(tuple(n for n in notes if n.startswith(kind)), f"{kind}: ") == REASONS[kind]
    assert reasons(tuple(n for n in notes if not n.startswith(kind)), "") == OF_METADATA
    veiled = PLAN.videos["veiled"].uid
    assert veiled not in {video.uid for video in sources[kind].videos} and veiled not in sources[kind].missing
    with pytest.raises(InputError) as error:
        ego4d_sources(root, Ego4dOptions(annotations=kind, strict=True))
    count = sum(REASONS[kind].values()) + sum(OF_METADATA.values())
    assert str(error.value).startswith(f"{count} problems in the annotations under")


def test_a_null_time_and_a_stage_of_null_have_notes_of_their_own(sources):
    assert told(sources["narrations"], "narrations have no time and were left out") == 1
    assert told(sources["fho-verbs"], "actions have no stage and were left out") == 1
    assert told(sources["fho-verbs"], "actions are rejected or invalid and were left out") == 3
    assert told(sources["fho-verbs"], "annotated intervals are of the test set") == 1
