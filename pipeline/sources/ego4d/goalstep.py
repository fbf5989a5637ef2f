"""GoalStep: steps and substeps of procedural videos, whose files are its splits.

Steps and substeps share one taxonomy (`step_category`), which is not published as a file: the data name the classes.
"""

from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record

# By split, the names under which Ego4D's client and the repository of the paper have it; the first that is there
FILES = {
    "train": ("goalstep_train.json",),
    "val": ("goalstep_val.json", "goalstep_valid.json"),
    "test": ("goalstep_test_unannotated.json", "goalstep_test.json"),
}
ALL_FILES = tuple(name for names in FILES.values() for name in names)
STEP_LEVELS = 2  # steps, and substeps within them


def read_goalstep(reading: Reading) -> None:
    """Steps and substeps by their category; a test video is one unlabeled window."""
    for split, names in FILES.items():
        file = next((name for name in names if reading.exists(name)), None)
        seen: set[str] = set()
        for video in reading.entries(file, "videos") if file else ():
            uid = reading.video(video, split)
            if uid in seen:
                video.odd("videos are listed twice in a file and were taken once", "video_uid", "another uid")
            if uid is None or not video.is_sound:
                continue
            seen.add(uid)
            if split == "test":
                _read_test_video(reading, video, uid, file)
            else:
                _read_segments(reading, video, (uid, split, file), STEP_LEVELS)


def _read_test_video(reading: Reading, video: Record, uid: str, file: str) -> None:
    """Its steps are public without their times."""
    facts = reading.metadata.videos[uid]
    if video.has("start_time") or video.has("end_time"):
        span = video.span("start_time", "end_time")
    else:
        span = (facts.start_sec, facts.end_sec)
    if span is not None:
        reading.add(video, Window(uid, *span, None, "test"), file)


def _read_segments(reading: Reading, above: Record, place: tuple[str, str, str], levels: int) -> None:
    """place: (uid, split, file) of the video. levels: how many of them there are from here on."""
    uid, split, file = place
    for segment in above.records("segments") if above.has("segments") else ():
        span, name = segment.span("start_time", "end_time"), segment.text("step_category", "the category of a step")
        if span is not None and name is not None:
            reading.add(segment, Window(uid, *span, reading.interned(name), split), file)
        if levels > 1:
            _read_segments(reading, segment, place, levels - 1)
