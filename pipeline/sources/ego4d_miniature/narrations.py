"""The contents of the two narration files of a miniature, and the points that readers should get from them."""

from typing import NamedTuple

from embedonce.pipeline.sources.ego4d_miniature.actions import CUT, OPEN, PUT, TAKE
from embedonce.pipeline.sources.ego4d_miniature.plan import Plan, VideoPlan, Window, fho_frame

_PASSES = ("narration_pass_1", "narration_pass_2")
_ONLY_IN_FIRST_FILE = ("short",)


class Narration(NamedTuple):
    """A sentence at a frame of a video. verb: the wearer's action, a class of fho_main_taxonomy.json, or None."""

    role: str
    narration_pass: int
    frame: float
    text: str
    verb: str | None
    case: str = ""


NARRATIONS = (  # in the order of the files, not in time order
    Narration("plain", 1, 97, "#C C picks up the cup", TAKE),
    Narration("plain", 1, 37, "#C C picks up the knife", TAKE, "unsorted"),
    Narration("plain", 1, 38.5, "#C C cuts the vegetable with the knife\n", CUT, "mid-frame; line break"),
    Narration("plain", 1, 150, "#C C looks around", None, "verb in no taxonomy"),
    Narration("plain", 1, 181, "#O A man X picks up the cup", None, "another person"),
    Narration("plain", 1, 200, "#unsure", None, "only unsure"),
    Narration("plain", 1, 329.5, "#C C opens the drawer", OPEN, "in the last frame"),
    Narration("plain", 2, 98, "#C C takes the cup", TAKE, "also in the other pass"),
    Narration("plain", 2, 221, "#C C puts the #unsure on the plate", PUT, "unsure about a noun"),
    Narration("multi", 1, 61, "#C C opens the plate", OPEN, "video in several splits"),
    Narration("multi", 1, 229, "#C C cuts the vegetable", CUT, "video in several splits"),
    Narration("offset", 1, 0, "#C C puts down the knife", PUT, "with the first frame"),
    Narration("offset", 1, 121.5, "#C C takes the vegetable", TAKE, "mid-frame"),
    Narration("stereo", 1, 89, "#C C opens the cup", OPEN),
    Narration("stereo", 2, 231, "#C C chops the vegetable", CUT),
    Narration("absent", 1, 70, "#C C grabs the cup", TAKE, "no file"),
    Narration("short", 1, 61, "#c c drops the plate", PUT, "lower case"),
    Narration("short", 1, 280, "#C C cuts the knife", CUT, "beyond the file's end"),
    Narration("test", 1, 62, "#C C takes the plate", TAKE, "test video"),
)
WITHOUT_TIME = "#C C opens the box"  # an entry of all_narrations_redacted.json


def narration_documents(plan: Plan) -> dict[str, dict]:
    """The content of each file by its name."""
    uids = {plan.videos[role].uid: role for role in dict.fromkeys(n.role for n in NARRATIONS)}
    narrated = {uid: _two_passes(plan, role) for uid, role in sorted(uids.items())}
    narrated[plan.videos["redacted"].uid] = {"status": "redacted"}
    flat = {uid: _flat(plan, role) for uid, role in sorted(uids.items()) if role not in _ONLY_IN_FIRST_FILE}
    return {"narration.json": narrated, "all_narrations_redacted.json": {"videos": flat}}


def narration_windows(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """Expected points of the kinds narrations and all_narrations, with the split of their video."""
    windows = {n: _point(plan, n) for n in NARRATIONS}
    flat = tuple(window for n, window in windows.items() if n.role not in _ONLY_IN_FIRST_FILE)
    return {"narrations": tuple(windows.values()), "all_narrations": flat}


def _point(plan: Plan, narration: Narration) -> Window:
    video = plan.videos[narration.role]
    sec = video.sec(narration.frame)
    return Window(video.uid, sec, sec, narration.verb, _split(video), None, narration.case)


def _split(video: VideoPlan) -> str:
    """Held out if any benchmark holds the video, or some of its clips, out."""
    splits = {video.split_fho, video.split_em, video.split_goalstep}
    return "test" if "test" in splits else "val" if splits & {"val", "multi"} else "train"


def _two_passes(plan: Plan, role: str) -> dict:
    """A video without a second narration has an empty second pass, or none."""
    content = {}
    for number, key in enumerate(_PASSES, 1):
        spoken = [n for n in NARRATIONS if (n.role, n.narration_pass) == (role, number)]
        if spoken or role != "offset":
            content[key] = {
                "narrations": [_entry(plan, n) for n in spoken],
                "summaries": [_summary(plan, role, number)] if spoken else [],
            }
    return content | {"status": "complete"}


def _entry(plan: Plan, narration: Narration) -> dict:
    video = plan.videos[narration.role]
    sec = video.sec(narration.frame)
    return {
        "timestamp_sec": sec,
        "timestamp_frame": fho_frame(video, sec),
        "_unmapped_timestamp_sec": sec - video.start_sec,
        "narration_text": narration.text,
        "annotation_uid": plan.uid(f"{narration.role} pass {narration.narration_pass}"),
    }


def _summary(plan: Plan, role: str, narration_pass: int) -> dict:
    video = plan.videos[role]
    return {
        "start_sec": video.start_sec,
        "end_sec": video.sec(video.num_frames),
        "summary_text": "#summary C works in a kitchen",
        "annotation_uid": plan.uid(f"{role} pass {narration_pass}"),
    }


def _flat(plan: Plan, role: str) -> dict:
    """Both passes in one list; one entry of the plain video has no time."""
    video = plan.videos[role]
    narrations = []
    for narration in (n for n in NARRATIONS if n.role == role):
        sec = video.sec(narration.frame)
        times = {"time": sec, "_clip_time_start": sec, "_clip_time_end": sec}
        narrations.append({**times, "text": narration.text, **_about(plan, role, narration.narration_pass)})
    if role == "plain":
        narrations.insert(1, {"text": WITHOUT_TIME, **_about(plan, role, 1)})
    summary = _summary(plan, role, 1)
    return {
        "narrations": narrations,
        "summaries": [
            {"start_time": summary["start_sec"], "end_time": summary["end_sec"], "text": summary["summary_text"]}
        ],
    }


def _about(plan: Plan, role: str, narration_pass: int) -> dict:
    return {
        "annotator": f"annotator {narration_pass}",
        "_annotation_uid": plan.uid(f"{role} pass {narration_pass}"),
        "is_summary": False,
    }
