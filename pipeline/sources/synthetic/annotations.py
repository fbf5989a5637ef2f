"""The annotations of a synthetic data set as documents of Ego4D's JSON schema."""

from dataclasses import asdict

from embedonce.pipeline.sources.synthetic.plan import FPS, Parameters, VideoPlan
from embedonce.pipeline.sources.synthetic.scene.render import FRAME_HEIGHT, FRAME_WIDTH, Station

TIME_BASE = (1, 10240)  # chosen by the mp4 muxer for 10 frames per second
SECOND_OPINIONS = 0.3  # fraction of moments that a second annotator labels as well
DISAGREEMENT_SEC = 0.12  # maximum difference between annotators at either end
NOT_PRIMARY = "use_phone"  # a label that is not primary, which readers of Ego4D skip
_DATE = "240101 00:00:00"  # constant, so that equal parameters give equal files


def metadata_document(parameters: Parameters, videos: tuple[VideoPlan, ...]) -> dict:
    """The content of ego4d.json, and the parameters under the key `synthetic`."""
    return {
        "date": _DATE,
        "version": "v2",
        "description": "synthetic first-person videos in Ego4D's format",
        "videos": [_video_entry(video) for video in videos],
        "concurrent_video_sets": [],
        "physical_settings": [],
        "clips": [_clip_metadata(video) for video in videos],
        "synthetic": asdict(parameters),
    }


def moments_document(videos: tuple[VideoPlan, ...], split: str) -> dict:
    """The content of moments_<split>.json."""
    return {
        "version": "v2",
        "date": _DATE,
        "description": f"Moments Annotations ({split})",
        "videos": [_moments_entry(video) for video in videos if video.split == split],
    }


def _video_entry(video: VideoPlan) -> dict:
    return {
        "video_uid": video.uid,
        "duration_sec": video.duration_sec,
        "scenarios": ["Cooking", "Household management"],
        "video_metadata": {
            "fps": float(FPS),
            "num_frames": video.num_frames,
            "video_codec": "h264",
            "audio_codec": None,
            "display_resolution_width": FRAME_WIDTH,
            "display_resolution_height": FRAME_HEIGHT,
            "sample_resolution_width": FRAME_WIDTH,
            "sample_resolution_height": FRAME_HEIGHT,
            "mp4_duration_sec": video.duration_sec,
            "video_start_sec": 0.0,
            "video_duration_sec": video.duration_sec,
            "audio_start_sec": None,
            "audio_duration_sec": None,
            "video_start_pts": 0,
            "video_duration_pts": video.num_frames * TIME_BASE[1] // FPS,
            "video_base_numerator": TIME_BASE[0],
            "video_base_denominator": TIME_BASE[1],
            "audio_start_pts": None,
            "audio_duration_pts": None,
            "audio_base_numerator": None,
            "audio_base_denominator": None,
        },
        "split_em": video.split,
        "split_av": None,
        "split_fho": None,
        "is_stereo": False,
        "has_imu": False,
        "has_gaze": False,
        "has_redacted_regions": False,
        "redacted_intervals": [],
        "gaze_intervals": [],
        "video_components": [],
        "concurrent_sets": None,
        "physical_setting_name": None,
        "device": "synthetic",
        "video_source": "synthetic",
    }


def _clip_metadata(video: VideoPlan) -> dict:
    return {"clip_uid": _clip_uid(video), "video_uid": video.uid, **_span("video", 0.0, video.duration_sec)}


def _moments_entry(video: VideoPlan) -> dict:
    """One clip that covers the video, labeled by two annotators; the second one labels only some moments."""
    rng = video.parameters.rng(2, video.index)
    first, second = [], []
    for station in video.stations:
        first.append(_label(station, station.action, True, 0.0, 0.0))
        shift = rng.uniform(-DISAGREEMENT_SEC, DISAGREEMENT_SEC, 2).tolist()
        if rng.uniform() < SECOND_OPINIONS:
            second.append(_label(station, station.action, True, *shift))
            second.append(_label(station, NOT_PRIMARY, False, *shift))
    annotations = [
        {"annotator_uid": video.parameters.uid(f"annotator {number}"), "labels": labels}
        for number, labels in enumerate((first, second))
    ]
    clip = {
        "clip_uid": _clip_uid(video),
        **_span("video", 0.0, video.duration_sec),
        **_span("clip", 0.0, video.duration_sec),
        "source_clip_uid": _clip_uid(video),
        "annotations": [annotation for annotation in annotations if annotation["labels"]],
    }
    return {"video_uid": video.uid, "split": video.split, "clips": [clip]}


def _label(station: Station, name: str, primary: bool, start_shift_sec: float, end_shift_sec: float) -> dict:
    start, end = station.start_sec + start_shift_sec, station.end_sec + end_shift_sec
    return {
        "start_time": start,
        "end_time": end,
        "label": name,
        "video_start_time": start,
        "video_end_time": end,
        "video_start_frame": round(start * FPS),
        "video_end_frame": round(end * FPS),
        "primary": primary,
    }


def _span(prefix: str, start_sec: float, end_sec: float) -> dict:
    return {
        f"{prefix}_start_sec": start_sec,
        f"{prefix}_end_sec": end_sec,
        f"{prefix}_start_frame": round(start_sec * FPS),
        f"{prefix}_end_frame": round(end_sec * FPS),
    }


def _clip_uid(video: VideoPlan) -> str:
    return video.parameters.uid(f"clip {video.index}")
