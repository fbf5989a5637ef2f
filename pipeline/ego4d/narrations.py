"""Narrations: a sentence at a point in time becomes a window around it."""

from collections.abc import Iterator

from pipeline.ego4d.metadata import VideoFacts
from pipeline.ego4d.reading import Reading, Window
from pipeline.ego4d.record import Record
from pipeline.ego4d.taxonomy import Verbs, fho_taxonomy
from pipeline.ego4d.video_splits import split_of_video

FILES = ("narration.json", "all_narrations_redacted.json")
PASSES = ("narration_pass_1", "narration_pass_2")
TAXONOMIES = ("fho_main_taxonomy.json", "fho_lta_taxonomy.json")
WEARER, OTHERS = "#c", "#o"
MEAN_GAP_SEC = 4.9  # of all narrations of Ego4D: EgoVLP (Lin et al., 2022), section 3.2


def read_narrations(reading: Reading) -> None:
    """What the camera wearer does (#C)."""
    _read(reading, (WEARER,))


def read_all_narrations(reading: Reading) -> None:
    """What the camera wearer (#C) and other people (#O) do."""
    _read(reading, (WEARER, OTHERS))


def half_window_sec(times: list[float]) -> float:
    """Half the length of the windows of one video: the mean gap between neighbouring narrations over MEAN_GAP_SEC.

    EgoVLP's rule: [t - b / 2a, t + b / 2a], b the mean gap in the video, a that in all videos. A video with one
    narration counts as a usual one. times: sorted seconds.
    """
    gap_sec = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else MEAN_GAP_SEC
    return gap_sec / (2 * MEAN_GAP_SEC)


def _read(reading: Reading, marks: tuple[str, ...]) -> None:
    taxonomy = next((name for name in TAXONOMIES if reading.exists(name)), TAXONOMIES[0])
    reading.use_classes(fho_taxonomy(reading, taxonomy, "verbs"))
    verbs = Verbs(reading.classes)
    seen: set[str] = set()
    for uid, record, passes in _videos(reading):
        if uid in seen:
            record.odd("videos are listed twice in a file and were taken once", "video_uid", "another uid", got=uid)
        if reading.known(record, uid, None) is None or uid in seen:
            continue
        seen.add(uid)
        for narrations in passes:
            _read_pass(reading, uid, narrations, verbs, marks)


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


def _read_pass(reading: Reading, uid: str, narrations: list[Record], verbs: Verbs, marks: tuple[str, ...]) -> None:
    facts = reading.metadata.videos[uid]
    points = [point for narration in narrations if (point := _point(reading, narration, facts)) is not None]
    points.sort(key=lambda point: point[0])  # files are not sorted
    if not points:
        return
    split, rule = split_of_video(facts)
    half_sec = half_window_sec([time for time, _, _ in points])
    for time, text, record in points:
        mark = text.split(maxsplit=1)[0].lower()
        if mark not in marks:
            reading.counts["narrations are not of the camera wearer and were left out"] += mark == OTHERS
            reading.counts["narrations are of nobody (#unsure and the like) and were left out"] += mark != OTHERS
            continue
        label = verbs.class_of(text)
        if label is None:
            reading.counts["narrations have no verb of the taxonomy and are unlabelled"] += 1
        else:
            label = reading.interned(label)
        start_sec, end_sec = max(time - half_sec, facts.start_sec), min(time + half_sec, facts.end_sec)
        if end_sec <= start_sec:
            reading.counts["narrations are at no time of their video, or all at one, and were left out"] += 1
            continue
        reading.add(record, Window(uid, start_sec, end_sec, label, split), rule)


def _point(reading: Reading, narration: Record, facts: VideoFacts) -> tuple[float, str, Record] | None:
    """(seconds, text, record); None where it has no time, as some redacted ones, or is odd."""
    time_name = "timestamp_sec" if narration.has("timestamp_sec") else "time"
    text_name = "narration_text" if narration.has("narration_text") else "text"
    if not narration.has(time_name):
        reading.counts["narrations have no time and were left out"] += 1
        return None
    time, text = narration.seconds(time_name), narration.sentence(text_name)
    if time is not None and not facts.holds(time, time):
        reason = "narrations lie outside their video and were left out"
        narration.odd(reason, time_name, facts.expected())
    return (time, text, narration) if narration.is_sound else None
