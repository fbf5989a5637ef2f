"""What the readers of all kinds of annotations share: files, known videos, the windows they find, and notes.

Times are clamped to the videos of ego4d.json here, so that every kind follows the same rules.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from embedonce.pipeline.naming.annotation_kinds import FHO_WINDOWS, MAX_NARRATION_WINDOW
from embedonce.pipeline.sources.ego4d.metadata import ROUNDING_SEC, Metadata
from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.notes import (
    CLAMPED,
    OUTSIDE_VIDEO,
    UNKNOWN_LABEL,
    UNKNOWN_VIDEO,
    WRONG_CLIP,
    ZERO_LENGTH,
    Note,
    Reason,
)
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.ego4d.parsing.record import Record


class ClassWords(Enum):
    """What the class names of a kind are; it decides how they are worded as prompts."""

    VERBS = "verbs"
    NOUNS = "nouns"
    SENTENCES = "sentences"


@dataclass(frozen=True)
class AnnotationKind:
    """One value of --annotations, which becomes one label set of a cache.

    files: names in the annotations folder; the kind is available if any of them exists. read: adds the windows of the
    files to a reader. is_superset: it contains another kind, so that plan-ego4d reads it only if it is named.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[["AnnotationReader"], None]
    class_words: ClassWords
    is_superset: bool = False


@dataclass(frozen=True)
class WindowOptions:
    """How windows are made. fho_window: one of FHO_WINDOWS. max_narration_sec: longest window of a narration."""

    fho_window: str = FHO_WINDOWS[0]
    max_narration_sec: float = MAX_NARRATION_WINDOW


@dataclass(frozen=True, slots=True)
class Window:
    """A labeled interval [start_sec, end_sec) of a video, in seconds on the timeline of the canonical container.

    label: a class name, or None if no class is known. clip_uid: the clip in which it was annotated. text: a narration,
    as it was written, or "".
    """

    video_uid: str
    start_sec: float
    end_sec: float
    label: str | None
    split: str
    clip_uid: str | None = None
    text: str = ""


class AssignedSplit(NamedTuple):
    """A split, and the rule that assigned it, such as the name of the file that lists the clip."""

    split: str
    rule: str


class AnnotationReader:
    """Collects the windows, classes and notes of one kind of annotations while its files are read.

    classes: in the order of a taxonomy; None without one. labels: all labels found. video_uids: all annotated videos,
    with the split that the files name. split_rules: how the windows of each kept video got their splits. remarks:
    sentences about the kind that are not counts of entries.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        metadata: Metadata,
        kept_videos: Container[str],
        problems: Problems,
        options: WindowOptions | None = None,
    ):
        """kept_videos: uids whose windows are kept; of other videos, only counts are."""
        self.metadata, self.problems, self.options = metadata, problems, options or WindowOptions()
        self.folder, self._root, self._kept_videos = folder, root, kept_videos
        self.windows: list[Window] = []
        self.labels: set[str] = set()
        self.classes: tuple[str, ...] | None = None
        self._class_set: frozenset[str] = frozenset()
        self.video_uids: dict[str, str | None] = {}
        self.split_rules: dict[str, dict[AssignedSplit, None]] = {}  # uid -> assigned splits, in order
        self.remarks: list[str] = []
        self._counts: Counter[tuple[Reason, str]] = Counter()
        self._interned: dict[str, str] = {}  # one object for equal texts, of which there may be millions

    def path_for_messages(self, file: str) -> str:
        """The path of a file relative to the data folder."""
        return (self.folder / file).relative_to(self._root).as_posix()

    def exists(self, file: str) -> bool:
        """Whether the annotations folder has this file."""
        return (self.folder / file).is_file()

    def entries(self, file: str, key: str) -> Iterator[Record]:
        """The valid objects of the list `key` of a file; none if the file does not exist."""
        if self.exists(file):
            name = self.path_for_messages(file)
            fields = self.problems.fields(f"{name}: {key}[]")
            for place, entry in json_stream.entries(self.folder / file, key, name, self.problems):
                record = Record(entry, place, self.problems, fields)
                if record.is_valid:
                    yield record

    def members(self, file: str, key: str) -> Iterator[tuple[str, Record]]:
        """(name, object) of the members of the object `key` of a file; of the whole file if key is ""."""
        name = self.path_for_messages(file)
        fields = self.problems.fields(f"{name}: {key}.*")
        for place, member, entry in json_stream.members(self.folder / file, key, name, self.problems):
            record = Record(entry, place, self.problems, fields)
            if record.is_valid:
                yield member, record

    def video_uid(self, record: Record, split: str | None) -> str | None:
        """The uid of the record's video, which counts as annotated; None if it is not a usable video."""
        return self.annotated_video(record, record.uid("video_uid"), split)

    def annotated_video(self, record: Record, uid: str | None, split: str | None) -> str | None:
        """A uid, which counts as annotated; None if it is unknown or excluded. Exclusions have a note of their own."""
        if uid is None or uid in self.metadata.excluded:
            return None
        if uid not in self.metadata.videos:
            record.drop(UNKNOWN_VIDEO, "video_uid", "a video of ego4d.json", value=uid)
            return None
        self.video_uids.setdefault(uid, split)
        return uid

    def is_clip_of(self, record: Record, clip_uid: str | None, video_uid: str) -> bool:
        """Whether a clip belongs to a video as far as ego4d.json lists it; if not, the record is dropped."""
        clip = None if clip_uid is None else self.metadata.clips.get(clip_uid)
        if clip is None or clip.video_uid == video_uid:
            return True
        record.drop(WRONG_CLIP, "clip_uid", f"a clip of its video, not of {clip.video_uid}")
        return False

    def add(self, record: Record, window: Window, rule: str) -> None:
        """Keep a window, clamped to its video, unless it is empty. rule: how it got its split."""
        span = self.clamp(record, window.video_uid, (window.start_sec, window.end_sec))
        if span is None:
            return
        if span != (window.start_sec, window.end_sec):
            window = replace(window, start_sec=span[0], end_sec=span[1])
        if window.end_sec <= window.start_sec:
            self.count(ZERO_LENGTH)
            return
        if window.label is not None:
            self.labels.add(window.label)
        if self.keeps(window.video_uid):
            self.split_rules.setdefault(window.video_uid, {})[AssignedSplit(window.split, rule)] = None
            self.windows.append(window)

    def clamp(self, record: Record, uid: str, span: tuple[float, float]) -> tuple[float, float] | None:
        """The part of an interval that lies in a video, with a note if it is shorter; None, with a note, if empty."""
        video = self.metadata.videos[uid]
        if video.contains(*span, tolerance_sec=ROUNDING_SEC):
            return span
        start_sec, end_sec = video.clamp(*span)
        if end_sec <= start_sec:
            record.note(OUTSIDE_VIDEO, "times", video.expected_times(), value=span)
            return None
        record.note(CLAMPED, "times", video.expected_times(), value=span)
        return start_sec, end_sec

    def set_classes(self, classes: tuple[str, ...] | None) -> None:
        """Only these labels are classes. None: every label in the data is one."""
        self.classes, self._class_set = classes, frozenset(classes or ())

    def known_label(self, record: Record, name: str, label: str | None) -> str | None:
        """The label; None, with a note, if the taxonomy does not list it. name: the field that holds it."""
        if label is None or self.classes is None or label in self._class_set:
            return None if label is None else self.intern(label)
        record.note(UNKNOWN_LABEL, name, "a class of the taxonomy", value=label)
        return None

    def keeps(self, uid: str) -> bool:
        """Whether the windows of a video are kept."""
        return uid in self._kept_videos

    def intern(self, text: str) -> str:
        """The same text as one object, to save memory."""
        return self._interned.setdefault(text, text)

    def count(self, reason: Reason, detail: str = "", number: int = 1) -> None:
        """Count entries for a note that is not an error under --strict."""
        self._counts[reason, detail] += number

    def notes(self, source: str) -> list[Note]:
        """The counts, then the problems, as notes of a kind of annotations."""
        counts = [Note(reason, source, count, detail) for (reason, detail), count in self._counts.items() if count]
        return counts + self.problems.notes(source)
