"""The keystep segments of Ego-Exo4D as clips: which take, from when to when, and its keystep.

Times are seconds from the start of the take, with which the frame-aligned videos begin.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from embedonce.pipeline.sources.egoexo.class_names import STEP_ID, STEP_NAME
from embedonce.pipeline.sources.egoexo.json_files import (
    members_of,
    number_in,
    seconds_in,
    text_in,
    wrong,
)
from embedonce.pipeline.sources.egoexo.layout import SPLIT_OF_FILE
from embedonce.pipeline.sources.egoexo.takes import TakeVideos
from embedonce.pipeline.sources.manifest.cell_values import class_of, narration_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.row import ManifestRow

START, END, TEXT = "start_time", "end_time", "step_description"


class EgoExoRows:
    """The clips of both files in a folder.

    has_labels: False to leave the labels out. names: of the keysteps that label clips, by step_unique_id; {} to take
    the names in the segments. known: all keysteps of the vocabulary; {} if there is none. Segments of keysteps that are
    not in `names` are left out, if they are known or nothing is; once all rows are read, num_others counts them.
    """

    def __init__(
        self,
        folder: Path,
        videos: TakeVideos,
        problems: ProblemsOfTables,
        has_labels: bool,
        names: Mapping[int, str],
        known: Mapping[int, str],
    ):
        self._folder, self._videos, self._problems = folder, videos, problems
        self._has_labels, self._names, self._known = has_labels, names, known
        self._found: dict[int, str] = {}  # names in the segments
        self.num_others = 0

    def __iter__(self) -> Iterator[ManifestRow]:
        for file, split in SPLIT_OF_FILE.items():
            for line, uid, take in members_of(self._folder / file, "annotations", self._problems):
                yield from self._clips(line, uid, take, split)

    def _clips(self, line: int, uid: str, take: object, split: str) -> Iterator[ManifestRow]:
        """The clips of one take. Whatever is wrong with it becomes a problem."""
        try:
            video, segments = self._video_and_segments(take)
        except ValueError as error:
            self._problems.add(line, f"{uid}: {error}")
            return
        for number, segment in enumerate(segments):
            try:
                row = self._row(line, video, segment, split)
            except ValueError as error:
                self._problems.add(line, f"{uid}: segments[{number}]: {error}")
                continue
            if row is not None:
                yield row

    def _video_and_segments(self, take: object) -> tuple[str, list]:
        if not isinstance(take, dict):
            raise ValueError(wrong("take", "an object", take))
        segments = take.get("segments")
        if not isinstance(segments, list):
            raise ValueError(wrong("segments", "a list", segments))
        return self._videos.name_of(text_in(take, "take_name")), segments

    def _row(self, line: int, video: str, segment: object, split: str) -> ManifestRow | None:
        """None, after it was counted, if the keystep of the segment is not one of those that label clips."""
        if not isinstance(segment, dict):
            raise ValueError(wrong("segment", "an object", segment))
        start, end = seconds_in(segment, START), seconds_in(segment, END)
        if end <= start:
            raise ValueError(wrong(END, f"a time after the start, {start:g} s", end))
        label = self._label(segment) if self._has_labels else ""
        if label is None:
            self.num_others += 1
            return None
        return ManifestRow(line, video, start, end, label, split, _text(segment))

    def _label(self, segment: dict) -> str | None:
        """The name of the keystep; None for a keystep that is not one of those that label clips."""
        step = number_in(segment, STEP_ID)
        if self._known and step not in self._known:
            raise ValueError(wrong(STEP_ID, f"one of the {len(self._known)} keysteps of the vocabulary", step))
        if self._names:
            return self._names.get(step)
        name = class_of(STEP_NAME, text_in(segment, STEP_NAME))
        if self._found.setdefault(step, name) != name:
            raise ValueError(wrong(STEP_NAME, f"{self._found[step]!r}, as of other segments of keystep {step}", name))
        return name


def _text(segment: dict) -> str:
    text = segment.get(TEXT)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(wrong(TEXT, "text", text))
    return narration_of(TEXT, text)
