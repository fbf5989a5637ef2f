"""Moments: activities in windows of clips, where each clip is labeled by several annotators."""

from collections.abc import Iterator
from dataclasses import dataclass

from embedonce.pipeline.sources.ego4d.annotations.reader import (
    AnnotationKind,
    AnnotationReader,
    AssignedSplit,
    ClassWords,
    Window,
)
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE, ZERO_LENGTH, Reason
from embedonce.pipeline.sources.ego4d.parsing.record import Record

FILES = {"moments_train.json": "train", "moments_val.json": "val", "moments_test_unannotated.json": "test"}
MAX_LABELS = 1000  # of one clip of a few minutes; comparing all pairs takes their square
SAME_MOMENT_IOU = 0.5  # windows that overlap at least this much are one moment, seen by several annotators

ANNOTATORS = Reason("annotators", "labels of several annotators")
MERGED, OUTVOTED, TIED = "merged with the same label", "outvoted, dropped", "tied, all kept"
NULL_PRIMARY = Reason("null-primary", "labels whose `primary` is null, treated as not primary")
TOO_MANY_LABELS = Reason("too-many-labels", f"clips with more than {MAX_LABELS} labels, dropped")
NO_PRIMARY = Reason("no-primary", "videos without a primary label, which have no clips")


@dataclass(frozen=True, slots=True)
class AnnotatorLabel:
    """A label that one annotator gave to a window of a video."""

    annotator: str
    label: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Moment:
    """A label that annotators agree on, with the mean of their windows."""

    label: str
    start_sec: float
    end_sec: float
    annotators: frozenset[str]


def read_moments(reader: AnnotationReader) -> None:
    """The primary labels; clips of test videos are unlabeled windows."""
    for file, expected in FILES.items():
        seen: set[str] = set()
        for record in reader.entries(file, "videos"):
            if record.has("split"):
                record.one_of("split", (expected,), f"{expected} in this file")
            uid = reader.video_uid(record, expected)
            if uid in seen:
                record.drop(DUPLICATE, "video_uid", "another uid", detail="videos")
            if uid is not None and record.is_valid:
                seen.add(uid)
                _read_clips(reader, record, uid, AssignedSplit(expected, file))


KINDS = (AnnotationKind("moments", tuple(FILES), read_moments, ClassWords.SENTENCES),)


def _read_clips(reader: AnnotationReader, record: Record, uid: str, split: AssignedSplit) -> None:
    num_windows = len(reader.windows)
    seen: set[str] = set()
    for clip in record.records("clips"):
        clip_uid = clip.uid("clip_uid")
        if clip_uid is None:
            continue
        if clip_uid in seen:
            clip.drop(DUPLICATE, "clip_uid", "another uid", detail="clips")
        elif reader.is_clip_of(clip, clip_uid, uid):
            _read_clip(reader, clip, clip_uid, uid, split)
        seen.add(clip_uid)
    if reader.keeps(uid) and len(reader.windows) == num_windows:
        reader.count(NO_PRIMARY)


def _read_clip(reader: AnnotationReader, clip: Record, clip_uid: str, uid: str, split: AssignedSplit) -> None:
    if split.split == "test":  # its labels are not public: embedded, never evaluated
        span = clip.span("video_start_sec", "video_end_sec")
        if span is not None:
            reader.add(clip, Window(uid, *span, None, split.split, clip_uid), split.rule)
        return
    labels = list(_read_labels(reader, clip, uid))
    if len(labels) > MAX_LABELS:
        clip.drop(TOO_MANY_LABELS, "annotations", f"at most {MAX_LABELS} labels in a clip", value=len(labels))
        return
    for moment in _agreed_moments(reader, labels):
        label = reader.intern(moment.label)
        reader.add(clip, Window(uid, moment.start_sec, moment.end_sec, label, split.split, clip_uid), split.rule)


def _read_labels(reader: AnnotationReader, clip: Record, uid: str) -> Iterator[AnnotatorLabel]:
    """The valid primary labels of all annotators of a clip."""
    for number, annotation in enumerate(clip.records("annotations")):
        annotator = str(annotation.get("annotator_uid") if annotation.has("annotator_uid") else number)
        for record in annotation.records("labels"):
            label = _read_label(reader, record, clip, uid, annotator)
            if label is not None:
                yield label


def _read_label(
    reader: AnnotationReader, record: Record, clip: Record, uid: str, annotator: str
) -> AnnotatorLabel | None:
    """A label in the seconds of the video; None if it is not primary, empty, or invalid."""
    is_primary = _is_primary(record)
    name = record.text("label", "a class name") if is_primary else None
    if name is None or not record.is_valid:
        return None
    span = _label_span(record, clip)
    span = None if span is None else reader.clamp(record, uid, span)
    if span is None:
        return None
    if span[0] == span[1]:
        reader.count(ZERO_LENGTH)
        return None
    return AnnotatorLabel(annotator, name, *span)


def _label_span(record: Record, clip: Record) -> tuple[float, float] | None:
    """The times of a label in its video; from those in its clip if the file has no others."""
    if record.has("video_start_time") or not record.has("start_time"):
        return record.span("video_start_time", "video_end_time")
    span, first_sec = record.span("start_time", "end_time"), clip.seconds("video_start_sec")
    return None if span is None or first_sec is None else (span[0] + first_sec, span[1] + first_sec)


def _is_primary(label: Record) -> bool | None:
    """Only a label that is marked as primary is one, as in the published baseline."""
    if label.get("primary") is None:
        label.drop(NULL_PRIMARY, "primary", "true or false")
        return None
    return label.flag("primary")


def _agreed_moments(reader: AnnotationReader, labels: list[AnnotatorLabel]) -> list[Moment]:
    moments = merge_labels(labels)
    kept, num_tied = keep_majority(moments)
    reader.count(ANNOTATORS, MERGED, len(labels) - len(moments))
    reader.count(ANNOTATORS, OUTVOTED, len(moments) - len(kept))
    reader.count(ANNOTATORS, TIED, num_tied)
    return kept


def merge_labels(labels: list[AnnotatorLabel]) -> list[Moment]:
    """Windows of one label whose IoU is at least SAME_MOMENT_IOU become their mean. In time order."""
    groups: list[list[AnnotatorLabel]] = []
    open_groups: dict[str, list[list[AnnotatorLabel]]] = {}
    for label in sorted(labels, key=lambda one: (one.start_sec, one.end_sec, one.annotator)):
        near = [group for group in open_groups.get(label.label, ()) if _mean(group).end_sec > label.start_sec]
        group = next((group for group in near if _iou(_mean(group), label) >= SAME_MOMENT_IOU), None)
        if group is None:
            groups.append([label])
            near.append(groups[-1])
        else:
            group.append(label)
        open_groups[label.label] = near
    return sorted(map(_mean, groups), key=lambda moment: (moment.start_sec, moment.end_sec, moment.label))


def keep_majority(moments: list[Moment]) -> tuple[list[Moment], int]:
    """(moments that no larger number of annotators labels otherwise, how many of them are tied with another label)"""
    kept, num_tied = [], 0
    for moment in moments:
        rivals = [len(rival.annotators) for rival in _rivals(moment, moments)]
        if max(rivals, default=0) > len(moment.annotators):
            continue
        kept.append(moment)
        num_tied += len(moment.annotators) in rivals
    return kept, num_tied


def _rivals(moment: Moment, moments: list[Moment]) -> Iterator[Moment]:
    """Moments of the same time with another label."""
    return (other for other in moments if other.label != moment.label and _iou(other, moment) >= SAME_MOMENT_IOU)


def _mean(group: list[AnnotatorLabel]) -> Moment:
    start_sec = sum(label.start_sec for label in group) / len(group)
    end_sec = sum(label.end_sec for label in group) / len(group)
    return Moment(group[0].label, start_sec, end_sec, frozenset(label.annotator for label in group))


def _iou(a: Moment, b: Moment | AnnotatorLabel) -> float:
    overlap = min(a.end_sec, b.end_sec) - max(a.start_sec, b.start_sec)
    union = max(a.end_sec, b.end_sec) - min(a.start_sec, b.start_sec)
    return overlap / union if union > 0 else 1.0
