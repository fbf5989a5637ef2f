"""The contents of the fho_lta, fho_sta and fho_oscc-pnr files of a miniature.

None of the three benchmarks lists every clip; the split of a clip is that of any file that lists it.
"""

from collections import Counter

from embedonce.pipeline.sources.ego4d_miniature.actions import (
    BENCHMARKS,
    LTA_TAXONOMY,
    MAIN_TAXONOMY,
    TEST_SEGMENTS,
    NamedAction,
    actions_of,
)
from embedonce.pipeline.sources.ego4d_miniature.plan import DATE, FPS, SIZES, ClipPlan, Plan, Window, fho_frame

OSCC_STARTS, OSCC_FRAMES = (35, 100), 60  # of the windows of a clip: starts, and length, in frames
_OSCC_CLIPS = [key for key, benchmarks in BENCHMARKS.items() if "oscc-pnr" in benchmarks]
_SUFFIX = {"train": "train", "val": "val", "test": "test_unannotated"}


def task_documents(plan: Plan) -> dict[str, dict]:
    """The content of each file by its name, including the taxonomies."""
    documents: dict[str, dict] = {"fho_main_taxonomy.json": MAIN_TAXONOMY, "fho_lta_taxonomy.json": LTA_TAXONOMY}
    entries_of = {"lta": _lta_clips, "sta": _sta_annotations, "oscc-pnr": _oscc_clips}
    for benchmark, entries in entries_of.items():
        for split, suffix in _SUFFIX.items():
            content = entries(plan, split)
            head = {"version": "v2", "date": DATE, "description": f"{benchmark} ({split})", "split": split}
            document = _sta(plan, split, content) if benchmark == "sta" else head | {"clips": content}
            documents[f"fho_{benchmark}_{suffix}.json"] = document
    return documents


def _lta_clips(plan: Plan, split: str) -> list[dict]:
    """One entry per action, the last one first: action_idx, counted within each clip, orders them."""
    if split == "test":
        clip = plan.clips["FHO:test:0"]
        entries = [
            {**_lta_times(clip, clip.video.sec(start), clip.video.sec(end)), "clip_id": clip.clip_id, "action_idx": i}
            for i, (start, end) in enumerate(TEST_SEGMENTS)
        ]
        return entries[::-1]
    labeled: list[dict] = []
    counts: Counter[str] = Counter()
    for action, verb, noun in actions_of(plan, "lta", split):
        clip = plan.clips[action.clip]
        labels = {
            "verb": verb,
            "noun": noun,
            "verb_label": LTA_TAXONOMY["verbs"].index(verb),
            "noun_label": LTA_TAXONOMY["nouns"].index(noun),
        }
        times = _lta_times(clip, *action.times(clip.video))
        labeled.append({**times, "action_idx": counts[action.clip], **labels})
        counts[action.clip] += 1
    return labeled[::-1]


def _lta_times(clip: ClipPlan, start: float, end: float) -> dict:
    return {"video_uid": clip.video.uid, "clip_uid": clip.uid, **_spans(clip), **_clip_span(clip, start, end)}


def _spans(clip: ClipPlan) -> dict:
    last = clip.end_frame - 1  # as in fho_main.json
    return {
        "clip_parent_start_sec": clip.start_sec,
        "clip_parent_end_sec": clip.end_sec,
        "clip_parent_start_frame": clip.start_frame,
        "clip_parent_end_frame": clip.end_frame,
        "interval_start_frame": clip.start_frame,
        "interval_end_frame": last,
        "interval_start_sec": clip.start_sec,
        "interval_end_sec": clip.video.sec(last),
    }


def _clip_span(clip: ClipPlan, start: float, end: float) -> dict:
    """The times of an action in its clip: float differences with all their digits, as in Ego4D."""
    return {
        "action_clip_start_sec": start - clip.start_sec,
        "action_clip_end_sec": end - clip.start_sec,
        "action_clip_start_frame": fho_frame(clip.video, start) - clip.start_frame,
        "action_clip_end_frame": fho_frame(clip.video, end) - clip.start_frame,
    }


def _sta(plan: Plan, split: str, annotations: list[dict]) -> dict:
    height, width = SIZES["full_scale"]
    uids = sorted({annotation["video_uid"] for annotation in annotations})
    stereo = plan.videos["stereo"].uid
    sizes = {
        uid: {"frame_width": width * (1 + (uid == stereo)), "frame_height": height, "fps": float(FPS)} for uid in uids
    }
    return {
        "info": {
            "description": "Short-Term Object Interaction Anticipation",
            "version": "2.0",
            "split": split,
            "include_annotations": split != "test",
            "video_metadata": sizes,
            "year": "2024",
            "date_created": "2024-01-01",
        },
        "annotations": annotations,
        "noun_categories": _categories(MAIN_TAXONOMY["nouns"]),
        "verb_categories": _categories(MAIN_TAXONOMY["verbs"]),
    }


def _categories(names: list[str]) -> list[dict]:
    return [{"id": i, "name": name} for i, name in enumerate(names)]


def _sta_annotations(plan: Plan, split: str) -> list[dict]:
    if split == "test":
        clip = plan.clips["FHO:test:0"]
        return [_sta_place(clip, frame) for frame in (60, 120)]
    return [_sta_annotation(plan, named) for named in actions_of(plan, "sta", split)]


def _sta_place(clip: ClipPlan, frame: int) -> dict:
    return {
        "uid": f"{clip.video.uid}_{frame:07d}",
        "video_uid": clip.video.uid,
        "frame": frame,
        "clip_id": clip.clip_id,
        "clip_uid": clip.uid,
        "clip_frame": frame - clip.start_frame,
    }


def _sta_annotation(plan: Plan, named: NamedAction) -> dict:
    """The last frame before an object is touched, with the box of that object."""
    action, verb, noun = named
    clip = plan.clips[action.clip]
    start, end = action.times(clip.video)
    span = _clip_span(clip, start, end)
    touched = {
        "box": [90.125, 40.5, 138.125, 101.25],
        "verb_category_id": MAIN_TAXONOMY["verbs"].index(verb),
        "noun_category_id": MAIN_TAXONOMY["nouns"].index(noun),
        "time_to_contact": 0.5,
    }
    return {
        **_sta_place(clip, int(action.start) + 10),
        "main_uid": plan.uid(f"action {action.clip} {action.start}"),
        **_spans(clip),
        "action_start_sec": start,
        "action_end_sec": end,
        "action_start_frame": span["action_clip_start_frame"] + clip.start_frame,
        "action_end_frame": span["action_clip_end_frame"] + clip.start_frame,
        **span,
        "objects": [touched],
    }


def _oscc_clips(plan: Plan, split: str) -> list[dict]:
    """Windows with and without a state change; the test file has no clip_uid."""
    keys = [key for key in _OSCC_CLIPS if plan.clips[key].split == split]
    entries = []
    for key in keys:
        for number, offset in enumerate(OSCC_STARTS):
            clip = plan.clips[key]
            start, end, changes = clip.start_frame + offset, clip.start_frame + offset + OSCC_FRAMES, number == 0
            entry = {
                "clip_id": str(clip.clip_id),
                "unique_id": plan.uid(f"oscc {key} {number}"),
                "video_uid": clip.video.uid,
                **_frames_and_secs(clip, "parent", start, end),
            }
            if split != "test":
                entry |= {"clip_uid": clip.uid, **_frames_and_secs(clip, "clip", start, end), "state_change": changes}
                entry |= {"parent_pnr_frame": start + 31, "clip_pnr_frame": offset + 31} if changes else {}
            entries.append(entry)
    return entries


def oscc_windows(plan: Plan) -> tuple[Window, ...]:
    """Expected windows, two per clip: with a state change, then without; unlabeled for test clips."""
    windows = []
    for key in _OSCC_CLIPS:
        clip = plan.clips[key]
        for offset, name in zip(OSCC_STARTS, ("object state change", "no object state change"), strict=True):
            start = clip.start_frame + offset
            times = clip.video.sec(start), clip.video.sec(start + OSCC_FRAMES)
            label, uid = (None, None) if clip.split == "test" else (name, clip.uid)
            windows.append(Window(clip.video.uid, *times, label, clip.split, uid))
    return tuple(windows)


def _frames_and_secs(clip: ClipPlan, prefix: str, start: int, end: int) -> dict:
    first, origin = (clip.start_frame, clip.start_sec) if prefix == "clip" else (0, 0.0)
    return {
        f"{prefix}_start_sec": clip.video.sec(start) - origin,
        f"{prefix}_end_sec": clip.video.sec(end) - origin,
        f"{prefix}_start_frame": start - first,
        f"{prefix}_end_frame": end - first,
    }
