"""The lists of EGTEA Gaze+: clips with the numbers of their action, verb and nouns, and the names of the classes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.sources.egtea.kinds import KINDS, EgteaKind
from embedonce.pipeline.sources.manifest.cell_values import LABEL_SEPARATOR, class_of, is_count
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected, shown
from embedonce.pipeline.sources.manifest.list_lines import lines_of_list

_FOLDERS = (".", "action_annotation", "annotations")  # of the lists
_CLIP = re.compile(
    r"(?P<session>[A-Za-z0-9][\w-]{0,99})-(?P<start>\d{1,12})-(?P<end>\d{1,12})-F(?P<first>\d{1,12})-F(?P<last>\d{1,12})",
    re.ASCII,
)
_A_CLIP = "the name of a clip, such as OP01-R01-PastaSalad-66680-68130-F001597-F001639"


@dataclass(frozen=True, slots=True)
class ListedClip:
    """A line of a list. name: of the clip. start_sec, end_sec: in its session, by its name. numbers: of its classes."""

    line: int
    name: str
    session: str
    start_sec: float
    end_sec: float
    numbers: tuple[int, ...]
    split: str

    @property
    def prefix(self) -> str:
        """The name without frame numbers, by which action_labels.csv knows the clip."""
        return self.name.rsplit("-", 2)[0]


def split_of_list(number: int) -> dict[str, str]:
    """Name of each list -> the split of its clips. The test lists are what results are reported on: validation."""
    return {f"train_split{number}.txt": "train", f"test_split{number}.txt": "val"}


def lists_folder(root: Path, number: int) -> Path | None:
    """The folder, at or below a data folder, that has the lists and a file of class names; None if there is none."""
    names_files = [kind.names_file for kind in KINDS.values()]
    for folder in (root / name for name in _FOLDERS):
        has_lists = all((folder / name).is_file() for name in split_of_list(number))
        if has_lists and any((folder / name).is_file() for name in names_files):
            return folder
    return None


def class_names(folder: Path, kind: EgteaKind, problems: ProblemsOfTables) -> dict[int, str]:
    """Number -> name of each class, in the order of the numbers. Whatever is wrong with the file becomes a problem."""
    names: dict[int, str] = {}
    for line, text in lines_of_list(folder / kind.names_file, problems):
        written, _, number = text.rpartition(" ")
        try:
            name = class_of(kind.word, " ".join(written.replace("_", " ").replace(",", ", ").split()))
        except ValueError as error:
            problems.add(line, str(error))
            continue
        if not (is_count(number) and name):
            problems.add(line, expected(kind.word, "a name and a number, such as Cut tomato 12", text))
        elif int(number) in names or name in names.values():
            problems.add(line, f"{kind.word}: {shown(text)} repeats a number or a name")
        else:
            names[int(number)] = name
    if not names and not problems.count:
        problems.add(problems.line_of(kind.names_file, 1), "expected names and numbers of classes, got none")
    return dict(sorted(names.items()))


def listed_clips(folder: Path, lists: Mapping[str, str], problems: ProblemsOfTables) -> Iterator[ListedClip]:
    """The clips of both lists. Lines that cannot be understood become problems."""
    for name, split in lists.items():
        for line, text in lines_of_list(folder / name, problems):
            try:
                yield _listed_clip(line, text, split)
            except ValueError as error:
                problems.add(line, str(error))


def label_of(clip: ListedClip, kind: EgteaKind, names: Mapping[int, str]) -> str:
    """The classes of a clip. ValueError if one of their numbers has no name."""
    numbers = clip.numbers[kind.numbers]
    unknown = [number for number in numbers if number not in names]
    if unknown:
        raise ValueError(expected(kind.word, f"the number of one of {len(names)} classes", str(unknown[0])))
    return LABEL_SEPARATOR.join(dict.fromkeys(names[number] for number in numbers))


def _listed_clip(line: int, text: str, split: str) -> ListedClip:
    name, *numbers = text.split()
    match = _CLIP.fullmatch(name)
    if match is None:
        raise ValueError(expected("clip", _A_CLIP, name))
    start, end, first, last = (int(match[name]) for name in ("start", "end", "first", "last"))
    if not (start < end and first <= last):
        raise ValueError(f"clip: expected an end after the start, got {start} to {end} ms, frames {first} to {last}")
    if len(numbers) < 3 or not all(map(is_count, numbers)):
        raise ValueError(
            expected("classes", "the numbers of an action, a verb and one or more nouns", " ".join(numbers))
        )
    return ListedClip(line, name, match["session"], start / 1000, end / 1000, tuple(map(int, numbers)), split)
