"""The content of ego4d.json of a miniature."""

from embedonce.pipeline.sources.ego4d_miniature.plan import DATE, FPS, SIZES, TICKS, ClipPlan, Plan, VideoPlan

MARK = "miniature"  # key that identifies a miniature; Ego4D's own file does not have it
_SCENARIOS = ["Cooking", "Washing dishes"]
_OF_AUDIO = ("codec", "start_sec", "duration_sec", "start_pts", "duration_pts", "base_numerator", "base_denominator")
_NO_AUDIO = {f"audio_{name}": None for name in _OF_AUDIO}


def metadata_document(plan: Plan, layout: str) -> dict:
    """The content of ego4d.json. Its last key, MARK, holds the arguments of the miniature."""
    concurrent = [
        {"concurrent_video_set_id": 1, "video_uid": plan.videos[role].uid, "video_start_offset_sec": offset}
        for role, offset in (("plain", 0.0), ("multi", 1.5))
    ]
    exported = sorted((clip.uid, clip) for clip in plan.clips.values() if clip.uid is not None)
    return {
        "date": DATE,
        "version": "v2",
        "description": "miniature of Ego4D for tests: generated videos, every special case of the schema",
        "videos": sorted((_video(plan, video) for video in plan.videos.values()), key=lambda v: v["video_uid"]),
        "concurrent_video_sets": [{"concurrent_video_set_id": 1, "valid": True, "videos": concurrent}],
        "physical_settings": [{"name": "kitchen", "fb_physical_setting_id": 1, "source": "unict", "s3_path": ""}],
        "clips": [_clip(clip) for _, clip in exported],
        MARK: {"layout": layout, "seed": plan.seed},
    }


def _video(plan: Plan, video: VideoPlan) -> dict:
    paired = video.role in ("plain", "multi")
    return {
        "video_uid": video.uid,
        "duration_sec": video.sec(video.num_frames),
        "scenarios": _SCENARIOS,
        "video_metadata": _stream(video),
        "split_em": video.split_em,
        "split_av": None,
        "split_fho": video.split_fho,
        "split_goalstep": video.split_goalstep,
        "s3_path": f"s3://miniature/v2/full_scale/{video.uid}.mp4",
        "manifold_path": f"manifold://miniature/v2/full_scale/{video.uid}.mp4",
        "origin_video_id": f"mini_{video.role}",
        "video_source": "unict",
        "device": "GoPro" if not video.is_stereo else "ZShades",
        "physical_setting_name": "kitchen" if video.role == "plain" else None,
        "fb_participant_id": None if video.role == "bare" else 7,
        "is_stereo": video.is_stereo,
        "has_imu": False,
        "has_gaze": False,
        "imu_metadata": None,
        "gaze_metadata": None,
        "video_components": _components(plan, video),
        "concurrent_sets": {"concurrent_video_set_id": 1} if paired else None,
        "has_redacted_regions": video.redacted_frames is not None or video.has_unlisted_redactions,
        "redacted_intervals": _redacted(video),
        "gaps": None,
    }


def _size(video: VideoPlan) -> dict:
    height, width = SIZES["full_scale"]
    width *= 1 + video.is_stereo
    return {
        "display_resolution_width": width,
        "display_resolution_height": height,
        "sample_resolution_width": width,
        "sample_resolution_height": height,
    }


def _stream(video: VideoPlan) -> dict:
    """video_metadata, in the units of the canonical video's mp4."""
    return {
        "fps": float(FPS),
        "num_frames": video.num_frames,
        "video_codec": "h264",
        **_size(video),
        "mp4_duration_sec": video.sec(video.num_frames),
        "video_start_sec": video.start_sec,
        "video_duration_sec": video.duration_sec,
        "video_start_pts": video.start_pts,
        "video_duration_pts": video.num_frames * TICKS // FPS,
        "video_base_numerator": 1,
        "video_base_denominator": TICKS,
        **_NO_AUDIO,
    }


def _components(plan: Plan, video: VideoPlan) -> list[dict]:
    """One component, the whole video, as of a recording in one piece."""
    component = {
        "video_component_uid": plan.uid(f"component {video.role}"),
        "video_uid": video.uid,
        "component_idx": 0,
        "redacted": video.redacted_frames is not None,
        "canonical_video_start_sec": video.start_sec,
        "canonical_video_end_sec": video.sec(video.num_frames),
        "canonical_video_start_frame": 0,
        "canonical_video_end_frame": video.num_frames,
        "video_metadata": _stream(video),
    }
    return [component]


def _redacted(video: VideoPlan) -> list[dict]:
    if video.redacted_frames is None:
        return []
    start, end = video.redacted_frames
    return [{"start_sec": video.sec(start), "end_sec": video.sec(end), "start_frame": start, "end_frame": end}]


def _clip(clip: ClipPlan) -> dict:
    num_frames = clip.end_frame - clip.start_frame
    return {
        "clip_uid": clip.uid,
        "video_uid": clip.video.uid,
        "video_start_sec": clip.start_sec,
        "video_end_sec": clip.end_sec,
        "video_start_frame": clip.start_frame,
        "video_end_frame": clip.end_frame,
        "clip_metadata": {
            "fps": float(FPS),
            "num_frames": num_frames,
            "video_codec": "h264",
            **_size(clip.video),
            "mp4_duration_sec": num_frames / FPS,
            "video_start_sec": None,
            "video_duration_sec": num_frames / FPS,
            "video_start_pts": 0,
            "video_duration_pts": num_frames * TICKS // FPS,
            "video_base_numerator": 1,
            "video_base_denominator": TICKS,
            **_NO_AUDIO,
        },
        "s3_path": f"s3://miniature/v2/clips/{clip.uid}.mp4",
        "manifold_path": f"manifold://miniature/v2/clips/{clip.uid}.mp4",
    }
