"""Moments: activities over windows of clips, each clip labeled by several annotators."""

from collections.abc import Iterator
from dataclasses import dataclass

from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record

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
    """The primary labels; clips of test videos give unlabeled windows."""
    for file, expected in FILES.items():
        seen: set[str] = set()
        for record in reading.entries(file, "videos"):
            split = record.one_of("split", (expected,), f"{expected} in this file") if record.has("split") else expected
            uid = reading.video(record, split)
            if uid in seen:
                record.odd("videos are listed twice in a file and were taken once", "video_uid", "another uid")
            if uid is None or not record.is_sound:
                continue
            seen.add(uid)
            _read_clips(reading, record, (uid, split, file))


def _read_clips(reading: Reading, record: Record, place: tuple[str, str, str]) -> None:
    """place: (uid, split, file) of the video."""
    before, clip_uids = len(reading.windows), set()
    for clip in record.records("clips"):
        clip_uid = clip.uid("clip_uid")
        if clip_uid is not None and clip_uid in clip_uids:
            clip.odd("clips are listed twice in a video and were taken once", "clip_uid", "another uid")
        elif clip_uid is not None and reading.is_of_its_video(clip, clip_uid, place[0]):
            _read_clip(reading, clip, clip_uid, place)
        clip_uids.add(clip_uid)
    if reading.wants(place[0]) and len(reading.windows) == before:
        reading.counts["videos have no primary label and give no clip"] += 1


def _read_clip(reading: Reading, clip: Record, clip_uid: str, place: tuple[str, str, str]) -> None:
    uid, split, file = place
    if split == "test":  # its labels are not public: embedded, never counted
        span = clip.span("video_start_sec", "video_end_sec")
        if span is not None:
            reading.add(clip, Window(uid, *span, None, split, clip_uid), file)
        return
    opinions = []
    for number, annotation in enumerate(clip.records("annotations")):
        annotator = str(annotation.get("annotator_uid") if annotation.has("annotator_uid") else number)
        for label in annotation.records("labels"):
            opinion = _opinion(reading, label, clip, uid, annotator)
            if opinion is not None:
                opinions.append(opinion)
    if len(opinions) > MAX_OPINIONS:
        reason = f"clips have more than {MAX_OPINIONS} labels and were left out"
        clip.odd(reason, "annotations", f"at most {MAX_OPINIONS} labels in a clip", got=len(opinions))
        return
    for moment in _settled(reading, opinions):
        window = Window(uid, moment.start_sec, moment.end_sec, reading.interned(moment.label), split, clip_uid)
        reading.add(clip, window, file)


def _opinion(reading: Reading, label: Record, clip: Record, uid: str, annotator: str) -> Opinion | None:
    """The label as an Opinion in the video's seconds; None where it is not primary, lasts no time, or is odd."""
    is_primary = _is_primary(label)
    name = label.text("label", "a class name") if is_primary else None
    if not is_primary or not label.is_sound:
        return None
    if label.has("video_start_time") or not label.has("start_time"):
        span = label.span("video_start_time", "video_end_time")
    else:
        span, first_sec = label.span("start_time", "end_time"), clip.seconds("video_start_sec")
        span = None if span is None or first_sec is None else (span[0] + first_sec, span[1] + first_sec)
    span = None if span is None else reading.within(label, uid, span)
    if span is None:
        return None
    if span[0] == span[1]:
        reading.counts["labels last no time and were left out"] += 1
        return None
    return Opinion(annotator, name, *span)


def _is_primary(label: Record) -> bool | None:
    """Only what is marked so is primary, as the published baseline has it."""
    if label.get("primary") is None:
        return label.odd("labels whose `primary` is null do not count as primary", "primary", "true or false")
    return label.flag("primary")


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
