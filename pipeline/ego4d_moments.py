"""Ego4D's annotation files as checked, plain data: the videos of ego4d.json and the labels of moments_*.json.

Knows JSON and what its fields must hold; knows nothing of which videos are on disk.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError
from pipeline.uids import safe_annotation_uid

SPLITS = ("train", "val", "test")
PROBLEMS_SHOWN = 10
SAME_MOMENT_IOU = 0.5  # windows of one label that overlap at least this much are one moment, seen by several people


@dataclass(frozen=True)
class Moment:
    """A labelled window [start_sec, end_sec) of a video, in seconds on the container's timeline."""

    label: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class AnnotatedVideo:
    """One video of a moments file, with its primary labels as the annotators gave them."""

    uid: str
    split: str
    moments: tuple[Moment, ...]


@dataclass
class Problems:
    """What is wrong with annotation files, collected so that a user sees all of it at once."""

    lines: list[str] = field(default_factory=list)

    def add(self, where: str, name: str, expected: str, got: object) -> None:
        """where: `file: index`; got: the value found, or the class `Absent`."""
        shown = "nothing" if got is Absent else repr(got)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        self.lines.append(f"{where}: {name}: expected {expected}, got {shown}")

    def check(self, folder: Path) -> None:
        """InputError with the first problems and the count of all, where there are any."""
        if self.lines:
            shown = "\n".join(f"  {line}" for line in self.lines[:PROBLEMS_SHOWN])
            some = f", the first {PROBLEMS_SHOWN} of them" if len(self.lines) > PROBLEMS_SHOWN else ""
            raise InputError(
                f"{len(self.lines)} problems in the annotations under {folder}{some} (mend the files or download them "
                f"again):\n{shown}"
            )


class Absent:
    """Stands for a field that is not there."""


def read_video_uids(path: Path, root: Path, problems: Problems) -> frozenset[str]:
    """The uids that ego4d.json lists."""
    name = path.relative_to(root).as_posix()
    uids = (_uid(video, where, problems) for where, video in _videos(path, name, problems))
    return frozenset(uid for uid in uids if uid is not None)


def read_moments(path: Path, root: Path, problems: Problems) -> list[AnnotatedVideo]:
    """The videos of one moments file, in its order, with what is usable of them; the rest is in `problems`."""
    name = path.relative_to(root).as_posix()
    annotated = []
    for where, video in _videos(path, name, problems):
        uid = _uid(video, where, problems)
        split = video.get("split", Absent)
        if split not in SPLITS:
            problems.add(where, "split", "train, val or test", split)
        moments = tuple(_moments(video, where, problems)) if split != "test" else ()
        if uid is not None and split in SPLITS:
            annotated.append(AnnotatedVideo(uid, split, moments))
    return annotated


def merge_duplicates(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Moments in time order, where windows of one label that overlap by SAME_MOMENT_IOU are their mean."""
    groups: list[list[Moment]] = []
    for moment in sorted(moments, key=lambda m: (m.start_sec, m.end_sec, m.label)):
        for group in groups:
            if group[0].label == moment.label and _iou(_mean(group), moment) >= SAME_MOMENT_IOU:
                group.append(moment)
                break
        else:
            groups.append([moment])
    return tuple(sorted(map(_mean, groups), key=lambda m: (m.start_sec, m.end_sec, m.label)))


def _videos(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, dict]]:
    """(`file: index`, video) for each entry of the file's `videos`."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        problems.add(f"{name}: file", "content", "a readable file", error.strerror)
        return
    except (ValueError, RecursionError) as error:
        problems.add(f"{name}: file", "content", "JSON", str(error))
        return
    if not isinstance(document, dict):
        problems.add(f"{name}: file", "content", "an object with `videos`", document)
        return
    yield from _entries(document, "videos", f"{name}: ", problems)


def _entries(parent: dict, key: str, prefix: str, problems: Problems) -> Iterator[tuple[str, dict]]:
    """(place, entry) for each object in the list parent[key]; prefix: the place of the parent, as text."""
    entries = parent.get(key, Absent)
    if not isinstance(entries, list):
        problems.add(prefix.rstrip(": .") or "file", key, "a list", entries)
        return
    for i, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield f"{prefix}{key}[{i}]", entry
        else:
            problems.add(f"{prefix}{key}[{i}]", "entry", "an object", entry)


def _uid(video: dict, where: str, problems: Problems) -> str | None:
    uid = video.get("video_uid", Absent)
    if isinstance(uid, str):
        try:
            return safe_annotation_uid(uid)
        except ValueError:
            pass
    problems.add(where, "video_uid", "a uid of letters, digits, - and _", uid)
    return None


def _moments(video: dict, where: str, problems: Problems) -> Iterator[Moment]:
    """The primary labels of one video."""
    for in_clip, clip in _entries(video, "clips", f"{where}.", problems):
        for in_annotation, annotation in _entries(clip, "annotations", f"{in_clip}.", problems):
            for in_label, label in _entries(annotation, "labels", f"{in_annotation}.", problems):
                moment = _moment(label, in_label, problems)
                if moment is not None:
                    yield moment


def _moment(label: dict, where: str, problems: Problems) -> Moment | None:
    """The label as a Moment; None where it is not primary, or wrong."""
    primary, name = label.get("primary", Absent), label.get("label", Absent)
    if not isinstance(primary, bool):
        problems.add(where, "primary", "true or false", primary)
    if not (isinstance(name, str) and name.strip() and name.isprintable()):
        problems.add(where, "label", "a class name", name)
        return None
    start, end = (_number(label, key, where, problems) for key in ("video_start_time", "video_end_time"))
    if start is None or end is None:
        return None
    if end < start:
        problems.add(where, "video_end_time", f"at least video_start_time {start:g}", end)
        return None
    return Moment(name.strip(), start, end) if primary is True else None


def _number(label: dict, key: str, where: str, problems: Problems) -> float | None:
    value = label.get(key, Absent)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9:  # no NaN passes this
        return float(value)
    problems.add(where, key, "seconds as a number", value)
    return None


def _mean(group: list[Moment]) -> Moment:
    starts, ends = [moment.start_sec for moment in group], [moment.end_sec for moment in group]
    return Moment(group[0].label, math.fsum(starts) / len(group), math.fsum(ends) / len(group))


def _iou(a: Moment, b: Moment) -> float:
    overlap = min(a.end_sec, b.end_sec) - max(a.start_sec, b.start_sec)
    union = max(a.end_sec, b.end_sec) - min(a.start_sec, b.start_sec)
    return overlap / union if union > 0 else 1.0
