"""Builds small annotation files in Ego4D's schema; tests change single fields of them."""

import json
import uuid
from pathlib import Path

from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.source import ego4d_sources
from embedonce.pipeline.sources.source import Source

U1, U2, U3 = (str(uuid.UUID(int=i, version=4)) for i in (1, 2, 3))
C1, C2, C3 = (str(uuid.UUID(int=i, version=4)) for i in (11, 12, 13))
LASTS = 100.0  # seconds of each video


def listed(uid: str, **changes) -> dict:
    """An entry of ego4d.json for a video."""
    return {"video_uid": uid, "duration_sec": LASTS, "video_metadata": {"video_start_sec": 0.0}} | changes


def label(name="wash hands", start=1.0, end=3.0, primary=True, **changes) -> dict:
    entry = {"label": name, "start_time": 0.0, "end_time": 1.0, "primary": primary}
    return entry | {"video_start_time": start, "video_end_time": end} | changes


def moments_video(uid, split, *annotations, **clip) -> dict:
    """An entry of a Moments file with one clip. annotations: the labels of each annotator."""
    labels = [{"annotator_uid": str(i), "labels": a} for i, a in enumerate(annotations)]
    span = {"video_start_sec": 0.0, "video_end_sec": 50.0}
    return {"video_uid": uid, "split": split, "clips": [{"clip_uid": C1, **span, "annotations": labels} | clip]}


def moments(*labels, uid=U1, split="val", **clip) -> dict:
    """A Moments file with one video and the labels of one annotator."""
    return {"videos": [moments_video(uid, split, list(labels), **clip)]}


MOMENTS_OF_U2 = {"moments_train.json": moments(label(), uid=U2, split="train")}


def action(start=1.0, end=9.0, verb="take", **changes) -> dict:
    """A narrated action of fho_main.json."""
    fields = {"is_valid_action": True, "is_rejected": False, "is_invalid_annotation": False, "stage": "stage_3"}
    return fields | {"start_sec": start, "end_sec": end, "structured_verb": verb, "frames": None} | changes


def fho_video(uid, *actions, clip_uid=C1) -> dict:
    intervals = [{"clip_uid": clip_uid, "start_sec": 0.0, "end_sec": 60.0, "narrated_actions": list(actions)}]
    return {"video_uid": uid, "annotated_intervals": intervals}


def frame(kind: str, *boxes: tuple[str, str]) -> dict:
    return {"frame_type": kind, "boxes": [{"object_type": t, "structured_noun": n} for t, n in boxes]}


def lta(uid, index=0, start=2.0, verb="take", noun="knife", **changes) -> dict:
    """An entry of fho_lta_*.json: its clip begins at 10 s of the video."""
    times = {"clip_parent_start_sec": 10.0, "action_clip_start_sec": start, "action_clip_end_sec": start + 8.0}
    return {"video_uid": uid, "clip_uid": C1, "action_idx": index, "verb": verb, "noun": noun} | times | changes


def narration(time, text="#C C takes a knife", **changes) -> dict:
    return {"timestamp_sec": time, "narration_text": text} | changes


def narrated(*narrations, passes=("narration_pass_1",)) -> dict:
    return {name: {"narrations": list(narrations), "summaries": []} for name in passes} | {"status": "complete"}


def write(root: Path, files: dict[str, object], videos=None, on_disk=None, clips=(), folder="v2/annotations") -> Path:
    """Write a download with empty video files.

    files: name -> document. videos: entries of ego4d.json, by default U1 to U3. on_disk: names of videos in v2, by
    default full_scale files of all of them. folder: of the annotations.
    """
    videos = [listed(uid) for uid in (U1, U2, U3)] if videos is None else videos
    on_disk = [f"full_scale/{video['video_uid']}.mp4" for video in videos] if on_disk is None else on_disk
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        (root / folder / name).write_text(json.dumps(document))
    (root / "ego4d.json").write_text(json.dumps({"videos": videos, "clips": list(clips)}))
    for name in on_disk:
        (root / "v2" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "v2" / name).touch()
    return root


def source_of(root: Path, kind: str = "moments", **options) -> Source:
    return ego4d_sources(root, Ego4dOptions(annotations=kind, **options))[kind]


def named(source: Source) -> list[tuple]:
    """(video_uid, start, end, class name or None, split) of each clip."""
    names = [*source.classes, None]
    return [(c.video_uid, c.start_sec, c.end_sec, names[c.label], c.split) for c in source.clips]
