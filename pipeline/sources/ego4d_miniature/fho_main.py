"""The content of fho_main.json of a miniature, with critical frames and boxes."""

from embedonce.pipeline.sources.ego4d_miniature.actions import ACTIONS, TOOL, Action
from embedonce.pipeline.sources.ego4d_miniature.plan import (
    DATE,
    FPS,
    SIZES,
    TICKS,
    ClipPlan,
    Plan,
    VideoPlan,
    fho_frame,
)

FRAME_TYPES = ("pre_45", "pre_30", "pre_15", "pre_frame", "contact_frame", "pnr_frame", "post_frame")


def main_document(plan: Plan) -> dict:
    """Videos sorted by uid, each with its intervals; the file does not contain splits."""
    keys = {v.role: [key for key in plan.clips if key.startswith(f"FHO:{v.role}:")] for v in plan.videos.values()}
    videos = sorted((v for v in plan.videos.values() if keys[v.role]), key=lambda v: v.uid)
    return {
        "version": "v2",
        "date": DATE,
        "description": "Forecasting + Hands & Objects Annotations (Master File)",
        "metadata": "s3://miniature/ego4d.json",
        "videos": [
            {
                "video_uid": video.uid,
                "video_metadata": _video_metadata(video),
                "annotated_intervals": [_interval(plan, key) for key in keys[video.role]],
            }
            for video in videos
        ],
    }


def _video_metadata(video: VideoPlan) -> dict:
    height, width = SIZES["full_scale"]
    return {
        "video_start_pts": video.start_pts,
        "video_base_numerator": 1,
        "video_base_denominator": TICKS,
        "duration_sec": video.duration_sec,
        "num_frames": video.num_frames,
        "fps": float(FPS),
        "width": width * (1 + video.is_stereo),
        "height": height,
        "rotation": None,
    }


def _interval(plan: Plan, key: str) -> dict:
    clip = plan.clips[key]
    video = clip.video
    end = clip.end_frame - 1  # the clip is slightly longer than the annotated interval
    return {
        "clip_id": str(clip.clip_id),
        "clip_uid": clip.uid,
        "start_sec": clip.start_sec,
        "end_sec": video.sec(end),
        "start_frame": clip.start_frame,
        "end_frame": end,
        "clip_parent_start_sec": clip.start_sec,
        "clip_parent_end_sec": clip.end_sec,
        "clip_parent_start_frame": clip.start_frame,
        "clip_parent_end_frame": clip.end_frame,
        "redacted": clip.split == "test",
        "narrated_actions": [_action(plan, clip, action) for action in ACTIONS if action.clip == key],
    }


def extra_action(plan: Plan, clip: ClipPlan, span: tuple[float, float], verb: str, noun: str) -> dict:
    """An action over frames [start, end) that is not among ACTIONS."""
    name = f"FHO:{clip.video.role}:odd"  # uids depend on it
    return _action(plan, clip, Action(name, *span, verb, noun, "#C C does something odd"))


def _action(plan: Plan, clip: ClipPlan, action: Action) -> dict:
    video = clip.video
    start, end = action.times(video)
    narrated = video.sec(action.start + 7)
    dropped = action.is_rejected or not action.is_valid
    critical = None if dropped or action.noun is None else _critical_frames(clip, action)
    name = f"{action.clip} {action.start}"
    return {
        "warnings": [],
        "uid": plan.uid(f"action {name}"),
        "start_sec": start,
        "end_sec": end,
        "start_frame": fho_frame(video, start),
        "end_frame": fho_frame(video, end),
        "is_valid_action": action.is_valid,
        "is_partial": action.is_partial,
        "clip_start_sec": start - clip.start_sec,
        "clip_end_sec": end - clip.start_sec,
        "clip_start_frame": fho_frame(video, start) - clip.start_frame,
        "clip_end_frame": fho_frame(video, end) - clip.start_frame,
        "narration_timestamp_sec": narrated,
        "clip_narration_timestamp_sec": narrated - clip.start_sec,
        "narration_text": action.text,
        "narration_annotation_uid": plan.uid(f"narration {name}"),
        "structured_verb": action.verb,
        "freeform_verb": "tickle" if action.verb is None and action.is_valid else None,
        "state_transition": "position" if action.verb else None,
        "critical_frames": critical,
        "clip_critical_frames": critical and {key: frame - clip.start_frame for key, frame in critical.items()},
        "frames": critical and [_frame(clip, kind, frame, action) for kind, frame in critical.items()],
        "is_rejected": action.is_rejected,
        "is_invalid_annotation": action.is_invalid,
        "reject_reason": "action_does_not_match_video" if action.is_rejected else None,
        "stage": action.stage,
    }


def _critical_frames(clip: ClipPlan, action: Action) -> dict[str, int]:
    """Frame numbers in the canonical video; those of the pre frames may lie before the action."""
    start, end = int(action.start), int(action.end)
    pnr = start + (end - start) // 2
    frames = (pnr - 65, pnr - 50, pnr - 35, pnr - 20, pnr - 5, pnr, end - 2)
    return {kind: max(frame, clip.start_frame) for kind, frame in zip(FRAME_TYPES, frames, strict=True)}


def _frame(clip: ClipPlan, frame_type: str, number: int, action: Action) -> dict:
    """Boxes: hands in all frames; a tool from contact on; the object of change from pre_30 on, there without a noun."""
    index = FRAME_TYPES.index(frame_type)
    boxes = [_box("left_hand", None, 10.5), _box("right_hand", None, 200.25)]
    if index >= FRAME_TYPES.index("contact_frame"):
        boxes.append(_box("tool", TOOL, 60.0))
    if index >= 1:
        boxes.append(_box("object_of_change", action.noun if index > 1 else None, 90.125))
    height, width = SIZES["full_scale"]
    return {
        "frame_type": frame_type,
        "frame_number": number,
        "clip_frame_number": number - clip.start_frame,
        "width": width * (1 + clip.video.is_stereo),
        "height": height,
        "boxes": boxes,
    }


def _box(object_type: str, structured_noun: str | None, x: float) -> dict:
    return {
        "object_type": object_type,
        "structured_noun": structured_noun,
        "freeform_noun": None,
        "instance_number": None if object_type.endswith("hand") else 1,
        "bbox": {"x": x, "y": 40.5, "width": 48.0, "height": 60.75},
    }
