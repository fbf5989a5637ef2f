"""Narrations: a sentence at a point in time becomes a window around it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from embedonce.pipeline.sources.ego4d.metadata import VideoFacts
from embedonce.pipeline.sources.ego4d.problems import Absent
from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.ego4d.record import Record
from embedonce.pipeline.sources.ego4d.verbs.narration_text import Actor, actor_and_words
from embedonce.pipeline.sources.ego4d.verbs.verb_finder import Verbs
from embedonce.pipeline.sources.ego4d.verbs.verb_taxonomy import read_verbs
from embedonce.pipeline.sources.ego4d.video_splits import split_of_video

FILES = ("narration.json", "all_narrations_redacted.json")
PASSES = ("narration_pass_1", "narration_pass_2")
ANNOTATORS = ("_annotation_uid", "annotation_uid")  # fields that name who said it, in either file
MEAN_GAP_SEC = 4.9  # of all narrations of Ego4D: EgoVLP (Lin et al., 2022), section 3.2
VERBS_SHOWN = 20


class Point(NamedTuple):
    """A narration: when, what, by whom ("" where nobody is named), and its entry."""

    sec: float
    text: str
    annotator: str
    record: Record


def read_narrations(reading: Reading) -> None:
    """What the camera wearer does (#C)."""
    _read(reading, (Actor.WEARER,))


def read_all_narrations(reading: Reading) -> None:
    """What the camera wearer (#C) and other people (#O) do."""
    _read(reading, (Actor.WEARER, Actor.OTHER))


def half_window_sec(times: list[float]) -> float:
    """Half the length of the windows of one annotator of a video: their mean gap over twice MEAN_GAP_SEC.

    EgoVLP's rule: [t - b / 2a, t + b / 2a], b the mean gap between neighboring narrations, a that in all videos. An
    annotator with one narration counts as a usual one. times: sorted seconds.
    """
    gap_sec = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else MEAN_GAP_SEC
    return gap_sec / (2 * MEAN_GAP_SEC)


def by_annotator(points: list[Point]) -> list[list[Point]]:
    """The points of each annotator: between those of one, and not of several, there are gaps.

    Where all of three or more points have uids of their own, these name no annotators.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        groups[point.annotator].append(point)
    return [points] if len(groups) == len(points) > 2 else list(groups.values())


class _Reader:
    """Reads narrations of some actors into a reading, and counts the verbs that have a class and those that do not."""

    def __init__(self, reading: Reading, verbs: Verbs, actors: tuple[Actor, ...]):
        self._reading, self._verbs, self._actors = reading, verbs, actors
        self._labeled = self._unlabeled = 0
        self._without_class: Counter[str] = Counter()

    def read(self, uid: str, narrations: list[Record]) -> None:
        """The narrations of one pass over a video."""
        facts = self._reading.metadata.videos[uid]
        points = [point for narration in narrations if (point := _point(self._reading, narration, facts)) is not None]
        split = split_of_video(facts)
        for group in by_annotator(points):
            group.sort(key=lambda point: point.sec)  # files are not sorted
            half_sec = self._capped(half_window_sec([point.sec for point in group]))
            for point in group:
                self._add(point, facts, half_sec, split)

    def tell(self) -> None:
        """Note the share of narrations that have a class, and the most frequent verbs of the others."""
        counts, total = self._reading.counts, self._labeled + self._unlabeled
        if total:
            counts[f"of {total} narrations ({self._labeled / total:.1%}) have a verb with a class"] = self._labeled
        most = self._without_class.most_common(VERBS_SHOWN)
        if most:
            shown = ", ".join(f"{verb} {count}" for verb, count in most)
            counts[f"most frequent verbs without a class, with their narrations: {shown}"] = len(most)

    def _capped(self, half_sec: float) -> float:
        longest = self._reading.max_narration_window / 2
        if half_sec > longest:
            what = f"annotators narrated so seldom that their windows were cut to {2 * longest:g} s"
            self._reading.counts[f"{what} (--max-narration-window)"] += 1
        return min(half_sec, longest)

    def _add(self, point: Point, facts: VideoFacts, half_sec: float, split: tuple[str, str]) -> None:
        reading = self._reading
        actor, words = actor_and_words(point.text)
        if actor not in self._actors:
            is_other = actor is Actor.OTHER
            reading.counts["narrations are not of the camera wearer and were left out"] += is_other
            reading.counts["narrations are of nobody (#unsure and the like) and were left out"] += not is_other
            return
        start_sec, end_sec = max(point.sec - half_sec, facts.start_sec), min(point.sec + half_sec, facts.end_sec)
        if end_sec <= start_sec:
            reading.counts["narrations are at no time of their video, or all at one, and were left out"] += 1
            return
        name, rule = split
        reading.add(point.record, Window(facts.uid, start_sec, end_sec, self._label(words), name), rule)

    def _label(self, words: list[str]) -> str | None:
        label, verb = self._verbs.class_of(words)
        if label is not None:
            self._labeled += 1
            return self._reading.interned(label)
        self._unlabeled += 1
        self._without_class[verb or "(no verb)"] += 1
        return None


def _read(reading: Reading, actors: tuple[Actor, ...]) -> None:
    reader = _Reader(reading, read_verbs(reading), actors)
    seen: set[str] = set()
    for uid, record, passes in _videos(reading):
        if uid in seen:
            record.odd("videos are listed twice in a file and were taken once", "video_uid", "another uid", got=uid)
        if reading.known(record, uid, None) is None or uid in seen:
            continue
        seen.add(uid)
        for narrations in passes:
            reader.read(uid, narrations)
    reader.tell()


def _videos(reading: Reading) -> Iterator[tuple[str, Record, list[list[Record]]]]:
    """(uid, its entry, the narrations of each pass) of the first file that is there."""
    if reading.exists(FILES[0]):
        for uid, record in reading.members(FILES[0], ""):
            rounds = [r for name in PASSES if record.has(name) for r in _pass(record, name)]
            yield uid, record, [list(r.records("narrations")) for r in rounds]
    else:
        for uid, record in reading.members(FILES[1], "videos"):
            yield uid, record, [list(record.records("narrations"))] if record.has("narrations") else []


def _pass(record: Record, name: str) -> Iterator[Record]:
    inner = Record(record.get(name), f"{record.where}.{name}", record.problems, record.fields.inner(name))
    if inner.is_sound and inner.has("narrations"):
        yield inner


def _point(reading: Reading, narration: Record, facts: VideoFacts) -> Point | None:
    """The narration as a point; None where it has no time, as some redacted ones, or is odd."""
    time_name = "timestamp_sec" if narration.has("timestamp_sec") else "time"
    text_name = "text" if narration.get("narration_text") is Absent else "narration_text"
    if not narration.has(time_name):
        reading.counts["narrations have no time and were left out"] += 1
        return None
    sec, text = narration.seconds(time_name), narration.sentence(text_name)
    if sec is not None and not facts.holds(sec, sec):
        reason = "narrations lie outside their video and were left out"
        narration.odd(reason, time_name, facts.expected())
    if not narration.is_sound:
        return None
    annotator = next((uid for name in ANNOTATORS if isinstance(uid := narration.get(name), str)), "")
    return Point(sec, text, annotator, narration)
