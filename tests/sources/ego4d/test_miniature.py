"""The miniature Ego4D: its files, the numbers shown in their frames, and its special cases."""

import json
import shutil
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.ego4d_miniature.files import files_of, write_file
from embedonce.pipeline.sources.ego4d_miniature.frames import RIGHT_EYE, read_number
from embedonce.pipeline.sources.ego4d_miniature.make import (
    documents_of,
    make_miniature,
    plain_documents,
    plain_windows,
    windows_of,
)
from embedonce.pipeline.sources.ego4d_miniature.moments import NEVER_PRIMARY
from embedonce.pipeline.sources.ego4d_miniature.plan import FPS, LATE_START, TICKS, make_plan
from embedonce.pipeline.video.color import Scaler

pytestmark = pytest.mark.integration

PLAN = make_plan(0)
DOCUMENTS = plain_documents(
    PLAN, "full_scale"
)  # without invalid entries: tests/sources/ego4d/test_official.py has those
WINDOWS = plain_windows(PLAN)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_miniature(tmp_path_factory.mktemp("data") / "new", "video_540ss")


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def frames(path: Path) -> tuple[list[int], list[np.ndarray]]:
    """pts and pixels of every frame."""
    scale = Scaler()
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        decoded = list(container.decode(video=0))
    assert {frame.time_base.denominator for frame in decoded} == {TICKS}
    return [frame.pts for frame in decoded], [scale(frame) for frame in decoded]


def ticks(first: int, count: int) -> list[int]:
    return [first + i * TICKS // FPS for i in range(count)]


def entries(name: str, key: str = "videos") -> dict[str, list[dict]]:
    by_video = defaultdict(list)
    for entry in DOCUMENTS[name][key]:
        by_video[entry["video_uid"]].append(entry)
    return by_video


# files


def test_the_folder_has_the_layout_of_the_client(made):
    files = contents(made.root)
    videos = {name for name in files if name.endswith(".mp4")}
    assert videos == {f"v2/video_540ss/{video.uid}.mp4" for role, video in made.videos.items() if role != "absent"}
    assert len({files[name] for name in videos}) == len(videos)  # no video is a copy of another
    documents = documents_of(PLAN, "video_540ss")
    assert set(files) == videos | set(documents)
    for name, document in documents.items():
        assert json.loads(files[name]) == document
    assert made.windows == windows_of(PLAN)
    assert made.uids == {role: video.uid for role, video in PLAN.videos.items()}


def test_equal_arguments_give_equal_bytes_and_other_seeds_other_uids(made, tmp_path):
    again = make_miniature(tmp_path, "video_540ss")
    assert contents(made.root) == contents(tmp_path)
    assert replace(again, root=made.root) == made
    other = make_plan(1)
    assert not {video.uid for video in other.videos.values()} & set(made.uids.values())
    assert [w.start_sec for w in plain_windows(other)["moments"]] == [w.start_sec for w in WINDOWS["moments"]]


def test_the_frames_of_every_video_show_their_numbers(made):
    for role, video in made.videos.items():
        if role in ("absent", "stereo"):
            continue
        pts, images = frames(made.root / "v2" / "video_540ss" / f"{video.uid}.mp4")
        assert pts == ticks(video.start_pts, video.file_frames)
        redacted = range(*(video.redacted_frames or (0, 0)))
        assert [read_number(image) for image in images] == [0 if n in redacted else n for n in range(len(images))]
        assert images[0].shape == (90, 160, 3)
        assert all(images[n].max() < 8 for n in redacted)


def test_each_eye_shows_its_own_number_and_a_late_start_is_in_the_file(tmp_path):
    for role in ("stereo", "offset"):
        write_file(tmp_path / role, replace(PLAN.videos[role], file_frames=70), "full_scale")
    pts, images = frames(tmp_path / "stereo")
    assert (images[0].shape, pts[0]) == ((180, 640, 3), 0)
    for number, image in enumerate(images):
        assert read_number(image[:, :320]) == number
        assert read_number(image[:, 320:]) == number + RIGHT_EYE
    assert sum(read_number(image) == number for number, image in enumerate(images)) < 5
    pts, images = frames(tmp_path / "offset")
    assert pts == ticks(LATE_START, 70)
    (entry,) = entries("ego4d.json")[PLAN.videos["offset"].uid]
    assert entry["video_metadata"]["video_start_sec"] == pts[0] / TICKS == 0.021028645833333335


def test_the_frames_of_a_clip_file_show_their_canonical_numbers(tmp_path):
    files, clip = files_of(PLAN, "clips"), PLAN.clips["EM:multi:1"]
    assert files[f"{clip.uid}.mp4"] == clip
    late = replace(PLAN.clips["FHO:offset:0"], end_frame=60)
    for one, shown in ((clip, range(190, 330)), (late, range(15, 60))):
        write_file(tmp_path / one.uid, one, "clips")
        pts, images = frames(tmp_path / one.uid)
        assert pts == ticks(0, len(shown))
        assert [read_number(image) for image in images] == list(shown)
    (listed,) = (entry for entry in DOCUMENTS["ego4d.json"]["clips"] if entry["clip_uid"] == clip.uid)
    assert (listed["video_start_frame"], listed["video_end_frame"]) == (190, 330)
    assert len(PLAN.clips["FHO:short:0"].file_frames) == 240
    absent = {f"{clip.uid}.mp4" for clip in PLAN.clips.values() if clip.video.role == "absent"}
    assert not absent & set(files) and "None.mp4" not in files


# writing it again


def test_a_complete_miniature_is_kept_and_an_interrupted_one_completed(made, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(made.root, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    make_miniature(root, "video_540ss")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    video = root / "v2" / "video_540ss" / f"{made.uids['bare']}.mp4"
    video.rename(video.with_name(f".{video.name}.partial"))
    (root / "ego4d.json").unlink()
    make_miniature(root, "video_540ss")
    assert contents(root) == contents(made.root)


def test_folders_with_other_files_are_refused(made, tmp_path):
    with pytest.raises(InputError, match=r"has a miniature with .*'seed': 0.*, not one with .*'seed': 1"):
        make_miniature(made.root, "video_540ss", 1)
    with pytest.raises(InputError, match="layout must be one of full_scale, video_540ss, clips, got 'small'"):
        make_miniature(tmp_path, "small")
    (tmp_path / "holiday.txt").write_text("")
    with pytest.raises(InputError, match=r"files that do not belong to this miniature, such as holiday\.txt"):
        make_miniature(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        make_miniature(tmp_path / "holiday.txt")
    with pytest.raises(PipelineError, match="cannot write a miniature"):
        make_miniature(tmp_path / "holiday.txt" / "below")
    for content, message in (("{}", "files that are not a miniature"), ("{", "cannot be read")):
        (tmp_path / "ego4d.json").write_text(content)
        with pytest.raises(InputError, match=message):
            make_miniature(tmp_path)


# special cases


def test_every_kind_has_classes_to_train_on_and_clips_to_validate_on():
    for kind, windows in WINDOWS.items():
        on_disk = {video.uid for video in PLAN.videos.values() if video.file_frames}
        names = {(w.split, w.name) for w in windows if w.video_uid in on_disk}
        assert len({name for split, name in names if split == "train" and name}) >= 2, kind
        assert any(split == "val" and name for split, name in names), kind
        assert len({w.name for w in windows if w.name}) <= 4
        if kind != "narrations" and kind != "all_narrations":
            assert {w.name for w in windows if w.split == "test"} == {None}


def test_ego4d_json_has_the_special_videos():
    listed = {PLAN.videos[role].uid: role for role in PLAN.videos}
    videos = {listed[v["video_uid"]]: v for v in DOCUMENTS["ego4d.json"]["videos"]}
    assert set(videos) == set(PLAN.videos)
    assert [role for role, v in videos.items() if v["is_stereo"]] == ["stereo"]
    assert {role for role, v in videos.items() if v["has_redacted_regions"]} == {"redacted", "veiled"}
    assert videos["veiled"]["redacted_intervals"] == []
    assert videos["redacted"]["redacted_intervals"] == [
        {"start_sec": 4.0, "end_sec": 5.5, "start_frame": 120, "end_frame": 165}
    ]
    assert videos["multi"]["split_fho"] == "multi"
    assert (videos["redacted"]["split_em"], videos["redacted"]["split_fho"]) == ("val", "train")
    assert videos["short"]["video_metadata"]["num_frames"] > PLAN.videos["short"].file_frames
    assert videos["stereo"]["video_metadata"]["display_resolution_width"] == 640


def test_moments_files_agree_with_the_expected_windows():
    labels, primary, zero = [], defaultdict(list), 0
    for split, name in (("train", "moments_train.json"), ("val", "moments_val.json")):
        for video in DOCUMENTS[name]["videos"]:
            for clip in video["clips"]:
                for annotation in clip["annotations"]:
                    for label in annotation["labels"]:
                        times = label["video_start_time"], label["video_end_time"]
                        assert clip["video_start_sec"] + label["start_time"] == pytest.approx(times[0], abs=1e-12)
                        assert label["video_end_frame"] == round(times[1] * FPS)
                        zero += times[0] == times[1]
                        primary[label["label"]].append(label["primary"])
                        if label["primary"] and times[0] < times[1]:
                            labels.append((video["video_uid"], *times, label["label"], split, clip["clip_uid"]))
    expected = [w for w in WINDOWS["moments"] if w.split != "test"]
    assert sorted(labels) == sorted(
        (w.video_uid, w.start_sec, w.end_sec, w.name, w.split, w.clip_uid) for w in expected
    )
    assert (zero, set(primary.pop(NEVER_PRIMARY))) == (1, {False})
    assert all(map(all, primary.values()))
    assert [w.case for w in expected].count("tie") == 2
    (test,) = entries("moments_test_unannotated.json")[PLAN.videos["test"].uid]
    assert "annotations" not in test["clips"][0]


def test_no_benchmark_lists_all_clips_of_fho():
    named = defaultdict(dict)
    for family, key in (("lta", "clips"), ("sta", "annotations"), ("oscc-pnr", "clips")):
        for split in ("train", "val", "test_unannotated"):
            for entry in DOCUMENTS[f"fho_{family}_{split}.json"][key]:
                if "clip_uid" in entry:
                    named[family][entry["clip_uid"]] = split.split("_")[0]
    together = {uid: split for splits in named.values() for uid, split in splits.items()}
    clips = [clip for clip in PLAN.clips.values() if clip.benchmark == "FHO"]
    assert together == {clip.uid: clip.split for clip in clips if clip.uid}
    assert all(len(splits) < len(together) for splits in named.values())
    assert {together[clip.uid] for clip in clips if clip.video.role == "multi"} == {"train", "val"}


def test_fho_main_has_actions_that_must_be_dropped():
    intervals = [i for video in DOCUMENTS["fho_main.json"]["videos"] for i in video["annotated_intervals"]]
    assert sum(i["clip_uid"] is None for i in intervals) == 1
    assert [len(i["narrated_actions"]) for i in intervals if i["redacted"]] == [0]
    actions = [action for i in intervals for action in i["narrated_actions"]]
    for key, value in (("is_rejected", True), ("is_invalid_annotation", True), ("is_valid_action", False)):
        assert sum(action[key] is value for action in actions) == 1
    assert sum(action["stage"] is None for action in actions) == 1
    kept = [
        action
        for action in actions
        if action["is_valid_action"]
        and not (action["is_rejected"] or action["is_invalid_annotation"])
        and action["stage"] is not None
    ]
    verbs = [w for w in WINDOWS["fho_verbs"] if w.split != "test"]
    assert sorted((a["start_sec"], a["end_sec"], str(a["structured_verb"])) for a in kept) == sorted(
        (w.start_sec, w.end_sec, str(w.name)) for w in verbs
    )
    nouns = []
    for action in kept:
        boxes = [box for frame in action["frames"] or () for box in frame["boxes"]]
        changing = {box["structured_noun"] for box in boxes if box["object_type"] == "object_of_change"}
        nouns += (changing - {None}) or {None}
    assert sorted(map(str, nouns)) == sorted(str(w.name) for w in WINDOWS["fho_nouns"] if w.split != "test")
    assert None in nouns and None in {w.name for w in verbs}


def test_lta_entries_are_unordered_and_relative_to_their_clip():
    taxonomy, actions, indices = DOCUMENTS["fho_lta_taxonomy.json"], [], []
    for split in ("train", "val"):
        for entry in DOCUMENTS[f"fho_lta_{split}.json"]["clips"]:
            start = entry["clip_parent_start_sec"] + entry["action_clip_start_sec"]
            assert taxonomy["verbs"][entry["verb_label"]] == entry["verb"]
            assert taxonomy["nouns"][entry["noun_label"]] == entry["noun"]
            actions.append((entry["video_uid"], round(start, 9), entry["verb"], split))
            indices.append((entry["clip_uid"], entry["action_idx"]))
    expected = [w for w in WINDOWS["lta_verbs"] if w.split != "test"]
    assert sorted(actions) == sorted((w.video_uid, round(w.start_sec, 9), w.name, w.split) for w in expected)
    assert any(a[0] == b[0] and a[1] > b[1] for a, b in pairwise(indices))
    assert all("verb" not in entry for entry in DOCUMENTS["fho_lta_test_unannotated.json"]["clips"])
    assert DOCUMENTS["fho_main_taxonomy.json"]["verbs"].index("open") != taxonomy["verbs"].index("open")


def test_narrations_are_unsorted_and_one_has_no_time():
    narrated, points, unsorted = DOCUMENTS["narration.json"], [], False
    for uid, video in narrated.items():
        for spoken in (video[key]["narrations"] for key in video if key != "status"):
            times = [entry["timestamp_sec"] for entry in spoken]
            unsorted |= times != sorted(times)
            points += [(uid, time) for time in times]
    assert sorted(points) == sorted((w.video_uid, w.start_sec) for w in WINDOWS["narrations"])
    assert unsorted
    assert narrated[PLAN.videos["redacted"].uid] == {"status": "redacted"}
    flat = DOCUMENTS["all_narrations_redacted.json"]["videos"]
    assert sum("time" not in entry for video in flat.values() for entry in video["narrations"]) == 1
    assert set(narrated) - set(flat) == {PLAN.videos["redacted"].uid, PLAN.videos["short"].uid}
