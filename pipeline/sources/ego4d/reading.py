"""What the readers of all annotation kinds share: their files, the videos that count, and the windows they find.

Times are clamped to ego4d.json's here, so that every kind is as strict as the others.
"""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.pipeline.naming.annotation_kinds import MAX_NARRATION_WINDOW
from embedonce.pipeline.sources.ego4d import streams
from embedonce.pipeline.sources.ego4d.metadata import Metadata
from embedonce.pipeline.sources.ego4d.problems import Problems
from embedonce.pipeline.sources.ego4d.record import Record


@dataclass(frozen=True, slots=True)
class Window:
    """A labeled part [start_sec, end_sec) of a video, in seconds on the timeline of the canonical video's container.

    label: a class name, None where no class is known.
    clip_uid: of the clip it was annotated in.
    """

    video_uid: str
    start_sec: float
    end_sec: float
    label: str | None
    split: str
    clip_uid: str | None = None


class Reading:
    """The annotations of one kind while they are read.

    wanted: the videos whose windows are kept; of others only counts are. classes: in a taxonomy's order; None where
    there is no taxonomy. video_uids: of all annotated videos, with the split of each that the files name. rules: of
    each wanted video, which rules gave its windows which split. fho_window: "action" or "critical".
    max_narration_window: seconds.
    """

    def __init__(self, root: Path, folder: Path, metadata: Metadata, wanted: Container[str], problems: Problems):
        self.folder, self.metadata, self.problems = folder, metadata, problems
        self.fho_window = "action"
        self.max_narration_window = MAX_NARRATION_WINDOW
        self._root, self._wanted = root, wanted
        self.windows: list[Window] = []
        self.labels: set[str] = set()
        self.classes: tuple[str, ...] | None = None
        self._class_set: frozenset[str] = frozenset()
        self.video_uids: dict[str, str | None] = {}
        self.counts: Counter[str] = Counter()  # what to tell: sentence -> how often
        self.rules: dict[str, dict[tuple[str, str], None]] = {}  # uid -> (split, rule), in order
        self._names: dict[str, str] = {}  # one object for equal texts, of which there may be millions

    def name(self, file: str) -> str:
        """A file's path as messages give it."""
        return (self.folder / file).relative_to(self._root).as_posix()

    def exists(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def entries(self, file: str, key: str) -> Iterator[Record]:
        """The objects of the list `key` of a file, where the file is there."""
        if self.exists(file):
            fields = self.problems.fields(f"{self.name(file)}: {key}[]")
            for where, entry in streams.entries(self.folder / file, key, self.name(file), self.problems):
                record = Record(entry, where, self.problems, fields)
                if record.is_sound:
                    yield record

    def members(self, file: str, key: str) -> Iterator[tuple[str, Record]]:
        """(name, object) of the members of the object `key` of a file."""
        fields = self.problems.fields(f"{self.name(file)}: {key}.*")
        for where, member, entry in streams.members(self.folder / file, key, self.name(file), self.problems):
            record = Record(entry, where, self.problems, fields)
            if record.is_sound:
                yield member, record

    def video(self, record: Record, split: str | None) -> str | None:
        """The uid of the record's video, noted as annotated; None where ego4d.json does not list it."""
        return self.known(record, record.uid("video_uid"), split)

    def known(self, record: Record, uid: str | None, split: str | None) -> str | None:
        """A uid, noted as annotated; None where it is not of a video that is used: what is left out is told there."""
        if uid is None or uid in self.metadata.left_out:
            return None
        if uid not in self.metadata.videos:
            reason = "entries are of videos that ego4d.json does not list and were left out"
            return record.odd(reason, "video_uid", "a video of ego4d.json", got=uid)
        self.video_uids.setdefault(uid, split)
        return uid

    def is_of_its_video(self, record: Record, clip_uid: str | None, video_uid: str) -> bool:
        """Whether ego4d.json does not say that a clip is of another video: if so, the record is odd."""
        clip = self.metadata.clips.get(clip_uid)
        if clip is None or clip.video_uid == video_uid:
            return True
        expected = f"a clip of its video, not of {clip.video_uid}"
        record.odd("entries name clips of other videos and were left out", "clip_uid", expected)
        return False

    def add(self, record: Record, window: Window, rule: str) -> None:
        """Keep a window, clamped to its video, unless it lasts no time there. rule: what gave it its split."""
        span = self.within(record, window.video_uid, (window.start_sec, window.end_sec))
        if span is None:
            return
        if span != (window.start_sec, window.end_sec):
            window = replace(window, start_sec=span[0], end_sec=span[1])
        if window.end_sec <= window.start_sec:
            self.counts["labels last no time and were left out"] += 1
            return
        if window.label is not None:
            self.labels.add(window.label)
        if window.video_uid in self._wanted:
            self.rules.setdefault(window.video_uid, {})[window.split, rule] = None
            self.windows.append(window)

    def within(self, record: Record, uid: str, span: tuple[float, float]) -> tuple[float, float] | None:
        """The part of a time span that is in a video, told where that is less; None, and told, where none is."""
        facts = self.metadata.videos[uid]
        if facts.fits(*span):
            return span
        start_sec, end_sec = facts.clamped(*span)
        if end_sec <= start_sec:
            reason = "entries lie outside their video and were left out"
            return record.tell(reason, "times", facts.expected(), got=span)
        record.tell("entries reach beyond their video and were clamped", "times", facts.expected(), got=span)
        return start_sec, end_sec

    def use_classes(self, classes: tuple[str, ...] | None) -> None:
        """Only these are classes; None: whatever the data names."""
        self.classes, self._class_set = classes, frozenset(classes or ())

    def checked(self, record: Record, name: str, label: str | None) -> str | None:
        """A label as one object; None, and told, where the taxonomy does not list it. name: the field it comes from."""
        if label is None or self.classes is None or label in self._class_set:
            return label and self.interned(label)
        reason = "entries have labels that the taxonomy does not list and are unlabeled"
        return record.tell(reason, name, "a class of the taxonomy", got=label)

    def wants(self, uid: str) -> bool:
        """Whether the windows of a video are kept."""
        return uid in self._wanted

    def interned(self, text: str) -> str:
        """The same text as one object."""
        return self._names.setdefault(text, text)
