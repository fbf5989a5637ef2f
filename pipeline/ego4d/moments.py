"""Moments: activities over windows of clips, each clip labelled by several annotators."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.ego4d.reading import Reading, Window
from pipeline.ego4d.record import Record

FILES = {"moments_train.json": "train", "moments_val.json": "val", "moments_test_unannotated.json": "test"}
MAX_OPINIONS = 1000  # of one clip, which lasts some minutes: comparing all of them takes their square
SAME_MOMENT_IOU = 0.5  # windows that overlap at least this much are one moment, seen by several people


@dataclass(frozen=True, slots=True)
class Opinion:
    """A label that one annotator gave to a window of a video."""

    annotator: str
    label: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Moment:
    """What annotators agree on: the mean of their windows."""

    label: str
    start_sec: float
    end_sec: float
    annotators: frozenset[str]


def read_moments(reading: Reading) -> None:
    """The primary labels; clips of test videos give unlabelled windows."""
    for file, expected in FILES.items():
        seen: set[str] = set()
        for record in reading.entries(file, "videos"):
            split = record.one_of("split", (expected,), f"{expected} in this file") if record.has("split") else expected
            uid = reading.video(record, split)
            if uid in seen:
                record.wrong("video_uid", "a uid that no other entry of the file has")
            if uid is None or not record.is_sound:
                continue
            seen.add(uid)
            before, clip_uids = len(reading.windows), set()
            for clip in record.records("clips"):
                if clip.get("clip_uid") in clip_uids:
                    clip.wrong("clip_uid", "a uid that no other clip of the video has")
                    continue
                _read_clip(reading, clip, uid, split)
                clip_uids.add(str(clip.get("clip_uid")))
            if reading.wants(uid) and len(reading.windows) == before:
                reading.counts["videos have no primary label and give no clip"] += 1


def _read_clip(reading: Reading, clip: Record, uid: str, split: str) -> None:
    clip_uid = clip.uid("clip_uid")
    reading.check_clip(clip, clip_uid, uid)
    if split == "test":  # its labels are not public: embedded, never counted
        span = clip.span("video_start_sec", "video_end_sec")
        if clip.is_sound:
            reading.add(clip, Window(uid, *span, None, split, clip_uid))
        return
    opinions = []
    for number, annotation in enumerate(clip.records("annotations")):
        annotator = str(annotation.get("annotator_uid") if annotation.has("annotator_uid") else number)
        for label in annotation.records("labels"):
            opinion = _opinion(reading, label, clip, annotator)
            if opinion is not None:
                opinions.append(opinion)
    if len(opinions) > MAX_OPINIONS:
        clip.wrong("annotations", f"at most {MAX_OPINIONS} labels in a clip", got=len(opinions))
        return
    for moment in _settled(reading, opinions):
        window = Window(uid, moment.start_sec, moment.end_sec, reading.interned(moment.label), split, clip_uid)
        reading.add(clip, window)


def _opinion(reading: Reading, label: Record, clip: Record, annotator: str) -> Opinion | None:
    """The label as an Opinion in the video's seconds; None where it is not primary, lasts no time, or is wrong."""
    is_primary, name = label.flag("primary"), label.text("label", "a class name")
    if label.has("video_start_time") or not label.has("start_time"):
        span = label.span("video_start_time", "video_end_time")
    else:
        span, first_sec = label.span("start_time", "end_time"), clip.seconds("video_start_sec")
        span = None if span is None or first_sec is None else (span[0] + first_sec, span[1] + first_sec)
    if not label.is_sound or span is None or not is_primary:
        return None
    if span[0] == span[1]:
        reading.counts["labels last no time and were left out"] += 1
        return None
    return Opinion(annotator, name, *span)


def _settled(reading: Reading, opinions: list[Opinion]) -> list[Moment]:
    moments = merged(opinions)
    kept, tied = majority(moments)
    reading.counts["labels repeat another annotator's and were merged with it"] += len(opinions) - len(moments)
    reading.counts["labels were outvoted by other annotators of the same time"] += len(moments) - len(kept)
    reading.counts["labels are tied with another of the same time, and all of them were kept"] += tied
    return kept


def merged(opinions: list[Opinion]) -> list[Moment]:
    """Windows of one label that overlap by SAME_MOMENT_IOU become their mean. In time order."""
    groups: list[list[Opinion]] = []
    open_groups: dict[str, list[list[Opinion]]] = {}
    for opinion in sorted(opinions, key=lambda o: (o.start_sec, o.end_sec, o.annotator)):
        near = [g for g in open_groups.get(opinion.label, ()) if _mean(g).end_sec > opinion.start_sec]
        group = next((g for g in near if _iou(_mean(g), opinion) >= SAME_MOMENT_IOU), None)
        if group is None:
            groups.append([opinion])
            near.append(groups[-1])
        else:
            group.append(opinion)
        open_groups[opinion.label] = near
    return sorted(map(_mean, groups), key=lambda m: (m.start_sec, m.end_sec, m.label))


def majority(moments: list[Moment]) -> tuple[list[Moment], int]:
    """(moments without those that more annotators call something else, how many are tied with another label)."""
    kept, tied = [], 0
    for moment in moments:
        rivals = [len(rival.annotators) for rival in _rivals(moment, moments)]
        if max(rivals, default=0) > len(moment.annotators):
            continue
        kept.append(moment)
        tied += len(moment.annotators) in rivals
    return kept, tied


def _rivals(moment: Moment, moments: list[Moment]) -> Iterator[Moment]:
    """Other labels of the same time."""
    return (m for m in moments if m.label != moment.label and _iou(m, moment) >= SAME_MOMENT_IOU)


def _mean(group: list[Opinion]) -> Moment:
    start_sec = sum(o.start_sec for o in group) / len(group)
    end_sec = sum(o.end_sec for o in group) / len(group)
    return Moment(group[0].label, start_sec, end_sec, frozenset(o.annotator for o in group))


def _iou(a, b) -> float:
    overlap = min(a.end_sec, b.end_sec) - max(a.start_sec, b.start_sec)
    union = max(a.end_sec, b.end_sec) - min(a.start_sec, b.start_sec)
    return overlap / union if union > 0 else 1.0
