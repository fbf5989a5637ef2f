"""GoalStep of a miniature: the contents of goalstep_*.json, and the windows that readers should get from them."""

from typing import NamedTuple

from embedonce.pipeline.sources.ego4d_miniature.plan import DATE, Plan, VideoPlan, Window

COOK, PREPARE, SERVE = "General cooking activity: Toast bread", "Prepare: Cut vegetables", "Serve: Arrange on a plate"
FILES = {"train": "goalstep_train.json", "val": "goalstep_val.json", "test": "goalstep_test_unannotated.json"}


class Step(NamedTuple):
    """A step over frames [start, end) of a video, with its substeps."""

    role: str
    name: str
    start: float
    end: float
    substeps: tuple["Step", ...] = ()


STEPS = (
    Step("plain", COOK, 10, 160.5, (Step("plain", PREPARE, 20, 60), Step("plain", SERVE, 61, 150))),
    Step("plain", SERVE, 200, 300),
    Step("offset", PREPARE, 0, 121),
    Step("stereo", COOK, 30, 150, (Step("stereo", PREPARE, 31, 90.5),)),
    Step("stereo", SERVE, 151, 299),
)


def goalstep_documents(plan: Plan) -> dict[str, dict]:
    """The content of each file by its name; steps of test videos have no times."""
    documents = {}
    for split, name in FILES.items():
        videos = sorted((v for v in plan.videos.values() if v.split_goalstep == split), key=lambda v: v.uid)
        content = [_test_video(video) if split == "test" else _video(video) for video in videos]
        documents[name] = {"version": "v2_1", "date": DATE, "description": f"GoalStep ({split})", "videos": content}
    return documents


def goalstep_windows(plan: Plan) -> tuple[Window, ...]:
    """Expected windows: steps, substeps, and each test video as a whole."""
    windows = []
    for step in (one for parent in STEPS for one in (parent, *parent.substeps)):
        video = plan.videos[step.role]
        times = video.sec(step.start), video.sec(step.end)
        windows.append(Window(video.uid, *times, step.name, video.split_goalstep))
    test = plan.videos["test"]
    return (*windows, Window(test.uid, test.start_sec, test.sec(test.num_frames), None, "test", None, "test"))


def segment(video: VideoPlan, name: str | None, start: float, end: float, substeps: list[dict] | None = None) -> dict:
    """An entry for a step, or for a substep if substeps is None."""
    content: dict = {
        "start_time": video.sec(start),
        "end_time": video.sec(end),
        "step_category": name,
        "step_description": "do what this step is",
        "is_continued": False,
        "is_procedural": True,
        "is_relevant": "essential",
        "summary": [],
    }
    return content if substeps is None else content | {"segments": substeps}


def _video(video: VideoPlan) -> dict:
    steps = [
        segment(
            video, one.name, one.start, one.end, [segment(video, sub.name, sub.start, sub.end) for sub in one.substeps]
        )
        for one in STEPS
        if one.role == video.role
    ]
    return {
        "video_uid": video.uid,
        "start_time": video.start_sec,
        "end_time": video.sec(video.num_frames),
        "goal_category": "COOKING:MAKE_TOAST",
        "goal_description": "Make toast",
        "goal_wikihow_url": "",
        "summary": [],
        "is_procedural": True,
        "segments": steps,
    }


def _test_video(video: VideoPlan) -> dict:
    return {"video_uid": video.uid, "step_segments": [{"step_description": "do what this step is"}]}
