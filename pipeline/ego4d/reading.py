"""What the readers of all annotation kinds share: their files, the videos that count, and the windows they find.

Times are checked against ego4d.json here, so that every kind is as strict as the others.
"""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.ego4d import streams
from pipeline.ego4d.metadata import Metadata
from pipeline.ego4d.problems import Problems
from pipeline.ego4d.record import Record
from pipeline.splits import split_by_hash


@dataclass(frozen=True, slots=True)
class Window:
    """A labelled part [start_sec, end_sec) of a video, in seconds on the timeline of the canonical video's container.

    label: a class name, None where no class is known. split: None only until it is known.
    clip_uid: of the clip it was annotated in.
    """

    video_uid: str
    start_sec: float
    end_sec: float
    label: str | None
    split: str | None
    clip_uid: str | None = None


class Reading:
    """The annotations of one kind while they are read.

    wanted: the videos whose windows are kept; of others only counts are. classes: in a taxonomy's order; None where
    there is no taxonomy. video_uids: of all annotated videos, with the split of each that the files name.
    """

    def __init__(self, root: Path, folder: Path, metadata: Metadata, wanted: Container[str], problems: Problems):
        self.folder, self.metadata, self.problems = folder, metadata, problems
        self._root, self._wanted = root, wanted
        self.windows: list[Window] = []
        self.labels: set[str] = set()
        self.classes: tuple[str, ...] | None = None
        self._class_set: frozenset[str] = frozenset()
        self.video_uids: dict[str, str | None] = {}
        self.counts: Counter[str] = Counter()  # what to tell: sentence -> how often
        self._names: dict[str, str] = {}  # one object for equal texts, of which there may be millions

    def name(self, file: str) -> str:
        """A file's path as messages give it."""
        return (self.folder / file).relative_to(self._root).as_posix()

    def exists(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def entries(self, file: str, key: str) -> Iterator[Record]:
        """The objects of the list `key` of a file, where the file is there."""
        if self.exists(file):
            for where, entry in streams.entries(self.folder / file, key, self.name(file), self.problems):
                record = Record(entry, where, self.problems)
                if record.is_sound:
                    yield record

    def members(self, file: str, key: str) -> Iterator[tuple[str, Record]]:
        """(name, object) of the members of the object `key` of a file."""
        for where, member, entry in streams.members(self.folder / file, key, self.name(file), self.problems):
            record = Record(entry, where, self.problems)
            if record.is_sound:
                yield member, record

    def video(self, record: Record, split: str | None) -> str | None:
        """The uid of the record's video, noted as annotated; None where ego4d.json does not list it."""
        return self.known(record, record.uid("video_uid"), split)

    def known(self, record: Record, uid: str | None, split: str | None) -> str | None:
        if uid is None:
            return None
        if uid not in self.metadata.videos:
            return record.wrong("video_uid", "a video of ego4d.json", got=uid)
        self.video_uids.setdefault(uid, split)
        return uid

    def check_clip(self, record: Record, clip_uid: str | None, video_uid: str) -> None:
        """Wrong where ego4d.json says that a clip is of another video."""
        clip = self.metadata.clips.get(clip_uid)
        if clip is not None and clip.video_uid != video_uid:
            record.wrong("clip_uid", f"a clip of its video, not of {clip.video_uid}")

    def add(self, record: Record, window: Window) -> None:
        """Keep a window, unless its times are outside its video (a problem of the record) or it lasts no time."""
        facts = self.metadata.videos[window.video_uid]
        if not facts.holds(window.start_sec, window.end_sec):
            record.wrong("times", facts.expected(), got=(window.start_sec, window.end_sec))
            return
        if window.end_sec <= window.start_sec:
            self.counts["labels last no time and were left out"] += 1
            return
        if window.label is not None:
            self.labels.add(window.label)
        if window.video_uid in self._wanted:
            self.windows.append(window if window.split is not None else self._with_split(window))

    def _with_split(self, window: Window) -> Window:
        """The window with the split of its video, else by the hash of the uid."""
        facts = self.metadata.videos[window.video_uid]
        split = next(iter(facts.splits.values()), None) or split_by_hash(facts.uid)
        return Window(window.video_uid, window.start_sec, window.end_sec, window.label, split, window.clip_uid)

    def use_classes(self, classes: tuple[str, ...] | None) -> None:
        """Only these are classes; None: whatever the data names."""
        self.classes, self._class_set = classes, frozenset(classes or ())

    def checked(self, record: Record, name: str, label: str | None) -> str | None:
        """A label as one object; wrong where the taxonomy does not list it. name: the field it comes from."""
        if label is None or self.classes is None or label in self._class_set:
            return label and self.interned(label)
        return record.wrong(name, "a class of the taxonomy", got=label)

    def wants(self, uid: str) -> bool:
        """Whether the windows of a video are kept."""
        return uid in self._wanted

    def interned(self, text: str) -> str:
        """The same text as one object."""
        return self._names.setdefault(text, text)
