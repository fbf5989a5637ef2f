"""Moments of a miniature: the contents of moments_*.json, and the windows that readers should get from them."""

from typing import NamedTuple

from embedonce.pipeline.sources.ego4d_miniature.plan import DATE, ClipPlan, Plan, Window, em_frame

WASH, CUT, READ, PHONE = "wash_dishes_/_utensils", "cut_/_chop_food", "read_a_book", "use_phone"
NEVER_PRIMARY = "walk_around"
FILES = {
    "train": "moments_train.json",
    "val": "moments_val.json",
    "test": "moments_test_unannotated.json",
}


class Label(NamedTuple):
    """A label that one annotator gave to frames [start, end) of a clip. case: what is special about it."""

    clip: str
    annotator: str
    name: str
    start: float
    end: float
    case: str = ""
    primary: bool = True


LABELS = (
    Label("EM:plain:0", "A", WASH, 30, 75.5, "duplicate"),
    Label("EM:plain:0", "B", WASH, 33, 78, "duplicate"),
    Label("EM:plain:0", "C", CUT, 31.5, 76, "outvoted"),
    Label("EM:plain:0", "A", NEVER_PRIMARY, 60, 70, "not primary", False),
    Label("EM:plain:0", "A", PHONE, 90, 120, "tie"),
    Label("EM:plain:0", "B", READ, 91, 121, "tie"),
    Label("EM:plain:0", "C", PHONE, 140, 140, "zero length"),
    Label("EM:plain:1", "B", CUT, 228.5, 262, "overlaps the same label"),  # listed before an earlier one
    Label("EM:plain:1", "A", CUT, 200.5, 240, "overlaps the same label"),
    Label("EM:plain:1", "A", READ, 301, 330, "ends with the video"),
    Label("EM:multi:0", "A", WASH, 15, 60, "adjacent"),
    Label("EM:multi:0", "A", CUT, 60, 110.5, "adjacent"),
    Label("EM:multi:1", "A", READ, 200, 241, "duplicate"),
    Label("EM:multi:1", "B", READ, 202.5, 241, "duplicate"),
    Label("EM:multi:1", "B", NEVER_PRIMARY, 190, 330, "not primary", False),
    Label("EM:multi:1", "A", PHONE, 289, 329.5, "ends in the last frame"),
    Label("EM:offset:0", "A", WASH, 0, 45, "starts with the video"),
    Label("EM:offset:0", "B", PHONE, 101, 145.5, "mid-frame"),
    Label("EM:offset:0", "A", CUT, 260, 300, "ends with the video"),
    Label("EM:stereo:0", "A", WASH, 40, 80),
    Label("EM:stereo:0", "A", READ, 103, 160.5, "mid-frame"),
    Label("EM:redacted:0", "A", CUT, 20, 61),
    Label("EM:redacted:0", "A", PHONE, 97, 181, "partly redacted"),
    Label("EM:redacted:0", "B", READ, 125, 160, "wholly redacted"),
    Label("EM:absent:0", "A", WASH, 10, 50, "no file"),
    Label("EM:absent:0", "A", READ, 70, 113, "no file"),
    Label("EM:short:0", "A", CUT, 30, 70),
    Label("EM:short:0", "A", WASH, 225, 255, "straddles the file's end"),
    Label("EM:short:0", "A", PHONE, 271, 311, "beyond the file's end"),
)


def moments_documents(plan: Plan) -> dict[str, dict]:
    """The content of each file by its name."""
    documents = {}
    for split, name in FILES.items():
        videos = sorted((v for v in plan.videos.values() if v.split_em == split), key=lambda v: v.uid)
        documents[name] = {
            "version": "v2",
            "date": DATE,
            "description": f"Moments Annotations ({split})",
            "manifest": "s3://miniature/v2/manifest.csv",
            "videos": [
                {"video_uid": v.uid, "split": split, "clips": [_clip(plan, key) for key in _clip_keys(plan, v.role)]}
                for v in videos
            ],
        }
    return documents


def moments_windows(plan: Plan) -> tuple[Window, ...]:
    """Expected windows: every primary label of positive length by each annotator, and test clips without a label."""
    windows = []
    for label in LABELS:
        clip = plan.clips[label.clip]
        if label.primary and label.end > label.start:
            times = (clip.video.sec(label.start), clip.video.sec(label.end))
            windows.append(Window(clip.video.uid, *times, label.name, clip.split, clip.uid, label.case))
    clip = plan.clips["EM:test:0"]
    windows.append(Window(clip.video.uid, clip.start_sec, clip.end_sec, None, "test", clip.uid, "test"))
    return tuple(windows)


def _clip_keys(plan: Plan, role: str) -> list[str]:
    return [key for key in plan.clips if key.startswith(f"EM:{role}:")]


def _clip(plan: Plan, key: str) -> dict:
    clip = plan.clips[key]
    content = {
        "clip_uid": clip.uid,
        "video_start_sec": clip.start_sec,
        "video_end_sec": clip.end_sec,
        "video_start_frame": em_frame(clip.start_sec),
        "video_end_frame": em_frame(clip.end_sec),
        "clip_start_sec": 0,
        "clip_end_sec": clip.end_sec - clip.start_sec,
        "clip_start_frame": 0,
        "clip_end_frame": clip.end_frame - clip.start_frame,
        "source_clip_uid": plan.uid(f"source of {key}"),
    }
    if clip.split == "test":
        return content
    labels = [label for label in LABELS if label.clip == key]
    annotations = [
        {
            "annotator_uid": plan.uid(f"annotator {annotator}"),
            "labels": [_label(clip, label) for label in labels if label.annotator == annotator],
        }
        for annotator in sorted({label.annotator for label in labels})
    ]
    return content | {"annotations": annotations}


def _label(clip: ClipPlan, label: Label) -> dict:
    start, end = clip.video.sec(label.start), clip.video.sec(label.end)
    return {
        "start_time": start - clip.start_sec,
        "end_time": end - clip.start_sec,
        "label": label.name,
        "video_start_time": start,
        "video_end_time": end,
        "video_start_frame": em_frame(start),
        "video_end_frame": em_frame(end),
        "primary": label.primary,
    }
