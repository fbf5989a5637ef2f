"""GoalStep: the steps and substeps of procedural videos, one file per split.

Steps and substeps share one taxonomy (`step_category`), which is not published as a file: the data define the classes.
"""

from embedonce.pipeline.sources.ego4d.annotations.reader import (
    AnnotationKind,
    AnnotationReader,
    AssignedSplit,
    ClassWords,
    Window,
)
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE
from embedonce.pipeline.sources.ego4d.parsing.record import Record

# Split -> file names of Ego4D's client and of the paper's repository; the first existing one is read
FILES = {
    "train": ("goalstep_train.json",),
    "val": ("goalstep_val.json", "goalstep_valid.json"),
    "test": ("goalstep_test_unannotated.json", "goalstep_test.json"),
}
NUM_LEVELS = 2  # steps, and substeps within them


def read_goalstep(reader: AnnotationReader) -> None:
    """Steps and substeps, labeled by category; a test video is one unlabeled window."""
    for split, names in FILES.items():
        file = next((name for name in names if reader.exists(name)), None)
        if file is not None:
            _read_file(reader, AssignedSplit(split, file))


KINDS = (
    AnnotationKind(
        "goalstep", tuple(name for names in FILES.values() for name in names), read_goalstep, ClassWords.SENTENCES
    ),
)


def _read_file(reader: AnnotationReader, split: AssignedSplit) -> None:
    """split: its rule is the name of the file."""
    seen: set[str | None] = set()
    for video in reader.entries(split.rule, "videos"):
        uid = reader.video_uid(video, split.split)
        if uid in seen:
            video.drop(DUPLICATE, "video_uid", "another uid", detail="videos")
        if uid is None or not video.is_valid:
            continue
        seen.add(uid)
        if split.split == "test":
            _read_test_video(reader, video, uid, split)
        else:
            _read_segments(reader, video, uid, split, NUM_LEVELS)


def _read_test_video(reader: AnnotationReader, video: Record, uid: str, split: AssignedSplit) -> None:
    """One window over the whole video: the steps of test videos are public without their times."""
    info = reader.metadata.videos[uid]
    has_times = video.has("start_time") or video.has("end_time")
    span = video.span("start_time", "end_time") if has_times else (info.start_sec, info.end_sec)
    if span is not None:
        reader.add(video, Window(uid, *span, None, split.split), split.rule)


def _read_segments(reader: AnnotationReader, parent: Record, uid: str, split: AssignedSplit, num_levels: int) -> None:
    """num_levels: how many levels of segments remain, from this one on."""
    for segment in parent.records("segments") if parent.has("segments") else ():
        span, name = segment.span("start_time", "end_time"), segment.text("step_category", "the category of a step")
        if span is not None and name is not None:
            reader.add(segment, Window(uid, *span, reader.intern(name), split.split), split.rule)
        if num_levels > 1:
            _read_segments(reader, segment, uid, split, num_levels - 1)
