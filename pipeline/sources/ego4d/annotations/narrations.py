"""Narrations: sentences at points in time, each of which becomes a window labeled by the verb of the sentence."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from embedonce.pipeline.sources.ego4d.annotations.reader import (
    AnnotationKind,
    AnnotationReader,
    AssignedSplit,
    ClassWords,
    Window,
)
from embedonce.pipeline.sources.ego4d.annotations.splits import split_of_video
from embedonce.pipeline.sources.ego4d.annotations.taxonomies import read_narration_verbs
from embedonce.pipeline.sources.ego4d.metadata import VideoInfo
from embedonce.pipeline.sources.ego4d.parsing.notes import DUPLICATE, OUTSIDE_VIDEO, Reason
from embedonce.pipeline.sources.ego4d.parsing.problems import Absent
from embedonce.pipeline.sources.ego4d.parsing.record import Record
from embedonce.pipeline.sources.ego4d.verbs.narration_text import Actor, actor_and_words
from embedonce.pipeline.sources.ego4d.verbs.verb_finder import VerbFinder

FILES = ("narration.json", "all_narrations_redacted.json")
PASSES = ("narration_pass_1", "narration_pass_2")
ANNOTATOR_FIELDS = ("_annotation_uid", "annotation_uid")  # of either file
MEAN_GAP_SEC = 4.9  # of all narrations of Ego4D: EgoVLP (Lin et al., 2022), section 3.2
MAX_VERBS_SHOWN = 20

SKIPPED_NARRATIONS = Reason("skipped-narrations", "narrations skipped")
NO_TIME = "no time"
OTHER_PERSON = "not about the camera wearer"
UNKNOWN_ACTOR = "unknown actor (#unsure and the like)"
EMPTY_WINDOW = "empty window"
CAPPED_WINDOWS = Reason("capped-windows", "annotators with sparse narrations, windows shortened")


class Point(NamedTuple):
    """A narration: its time, text, annotator ("" if none is named) and entry."""

    sec: float
    text: str
    annotator: str
    record: Record


def read_wearer_narrations(reader: AnnotationReader) -> None:
    """What the camera wearer does (#C)."""
    _read(reader, (Actor.WEARER,))


def read_all_narrations(reader: AnnotationReader) -> None:
    """What the camera wearer (#C) and other people (#O) do."""
    _read(reader, (Actor.WEARER, Actor.OTHER))


KINDS = (
    AnnotationKind("narrations", FILES, read_wearer_narrations, ClassWords.VERBS),
    AnnotationKind("narrations-all", FILES, read_all_narrations, ClassWords.VERBS, is_superset=True),
)


def half_window_sec(times: list[float]) -> float:
    """Half the window length of one annotator of a video: the mean gap between narrations over twice MEAN_GAP_SEC.

    EgoVLP's rule is [t - b / 2a, t + b / 2a], where b is the mean gap of the video and a that of all videos. An
    annotator with one narration gets the mean gap of all videos. times: sorted seconds.
    """
    gap_sec = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else MEAN_GAP_SEC
    return gap_sec / (2 * MEAN_GAP_SEC)


def by_annotator(points: list[Point]) -> list[list[Point]]:
    """The points of each annotator, because gaps are measured between narrations of one person.

    If each of three or more points has its own uid, the uids do not identify annotators.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        groups[point.annotator].append(point)
    return [points] if len(groups) == len(points) > 2 else list(groups.values())


class _NarrationReader:
    """Adds the narrations of some actors to a reader, and counts verbs with and without a class."""

    def __init__(self, reader: AnnotationReader, verbs: VerbFinder, actors: tuple[Actor, ...]):
        self._reader, self._verbs, self._actors = reader, verbs, actors
        self._num_labeled = self._num_unlabeled = 0
        self._verbs_without_class: Counter[str] = Counter()

    def read(self, uid: str, narrations: list[Record]) -> None:
        """Add the narrations of one pass over a video."""
        video = self._reader.metadata.videos[uid]
        points = [point for one in narrations if (point := _read_point(self._reader, one, video)) is not None]
        split = split_of_video(video)
        for group in by_annotator(points):
            group.sort(key=lambda point: point.sec)  # files are not sorted
            half_sec = self._cap(half_window_sec([point.sec for point in group]))
            for point in group:
                self._add(point, video, half_sec, split)

    def add_remark(self) -> None:
        """Remark on the share of narrations that have a class, and the most frequent verbs of the others."""
        total = self._num_labeled + self._num_unlabeled
        if not total:
            return
        remark = f"{self._num_labeled} of {total} narrations ({self._num_labeled / total:.1%}) have a verb with a class"
        frequent = self._verbs_without_class.most_common(MAX_VERBS_SHOWN)
        if frequent:
            remark += "; most frequent verbs without a class: " + ", ".join(f"{verb} {n}" for verb, n in frequent)
        self._reader.remarks.append(remark)

    def _cap(self, half_sec: float) -> float:
        longest_sec = self._reader.options.max_narration_sec
        if half_sec > longest_sec / 2:
            self._reader.count(CAPPED_WINDOWS, f"to {longest_sec:g} s (--max-narration-window)")
        return min(half_sec, longest_sec / 2)

    def _add(self, point: Point, video: VideoInfo, half_sec: float, split: AssignedSplit) -> None:
        actor, words = actor_and_words(point.text)
        if actor not in self._actors:
            self._reader.count(SKIPPED_NARRATIONS, OTHER_PERSON if actor is Actor.OTHER else UNKNOWN_ACTOR)
            return
        start_sec, end_sec = video.clamp(point.sec - half_sec, point.sec + half_sec)
        if end_sec <= start_sec:
            self._reader.count(SKIPPED_NARRATIONS, EMPTY_WINDOW)
            return
        text = self._reader.intern(" ".join(point.text.split()))
        window = Window(video.uid, start_sec, end_sec, self._label(words), split.split, text=text)
        self._reader.add(point.record, window, split.rule)

    def _label(self, words: list[str]) -> str | None:
        label, verb = self._verbs.class_of(words)
        if label is not None:
            self._num_labeled += 1
            return self._reader.intern(label)
        self._num_unlabeled += 1
        self._verbs_without_class[verb or "(no verb)"] += 1
        return None


def _read(reader: AnnotationReader, actors: tuple[Actor, ...]) -> None:
    narration_reader = _NarrationReader(reader, read_narration_verbs(reader), actors)
    seen: set[str] = set()
    for uid, record, passes in _videos(reader):
        if uid in seen:
            record.drop(DUPLICATE, "video_uid", "another uid", detail="videos", value=uid)
        if reader.annotated_video(record, uid, None) is None or uid in seen:
            continue
        seen.add(uid)
        for narrations in passes:
            narration_reader.read(uid, narrations)
    narration_reader.add_remark()


def _videos(reader: AnnotationReader) -> Iterator[tuple[str, Record, list[list[Record]]]]:
    """(uid, its entry, the narrations of each pass), from the first file that exists."""
    if reader.exists(FILES[0]):
        for uid, record in reader.members(FILES[0], ""):
            passes = [one for name in PASSES if record.has(name) for one in _read_pass(record, name)]
            yield uid, record, [list(one.records("narrations")) for one in passes]
    else:
        for uid, record in reader.members(FILES[1], "videos"):
            yield uid, record, [list(record.records("narrations"))] if record.has("narrations") else []


def _read_pass(record: Record, name: str) -> Iterator[Record]:
    nested = Record(record.get(name), f"{record.place}.{name}", record.problems, record.fields.nested(name))
    if nested.is_valid and nested.has("narrations"):
        yield nested


def _read_point(reader: AnnotationReader, narration: Record, video: VideoInfo) -> Point | None:
    """The narration as a point; None if it has no time, as some redacted ones, or is invalid."""
    time_name = "timestamp_sec" if narration.has("timestamp_sec") else "time"
    text_name = "text" if narration.get("narration_text") is Absent else "narration_text"
    if not narration.has(time_name):
        reader.count(SKIPPED_NARRATIONS, NO_TIME)
        return None
    sec, text = narration.seconds(time_name), narration.sentence(text_name)
    if sec is not None and not video.contains(sec, sec):
        narration.drop(OUTSIDE_VIDEO, time_name, video.expected_times())
    if sec is None or text is None or not narration.is_valid:
        return None
    annotator = next((uid for name in ANNOTATOR_FIELDS if isinstance(uid := narration.get(name), str)), "")
    return Point(sec, text, annotator, narration)
