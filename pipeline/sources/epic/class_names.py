"""The names of the classes of EPIC-KITCHENS-100, by the ids that its tables of clips use."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.sources.epic.kinds import EpicKind
from embedonce.pipeline.sources.epic.layout import SPLIT_OF_TABLE
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import class_of, id_of
from embedonce.pipeline.sources.manifest.line_problems import LineProblems, ProblemsOfTables, shown
from embedonce.pipeline.sources.manifest.table import Cells
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

ID, KEY = "id", "key"
_IN_ORDER = ("scotch:egg",)  # the one key whose words are in their usual order


def readable(key: str) -> str:
    """`turn-on` becomes "turn on", `board:chopping` "chopping board"; the words after the first colon come first."""
    head, *rest = key.replace("-", " ").split(":")
    parts = (head, *rest) if key in _IN_ORDER else (*rest, head)
    return " ".join(word for part in parts for word in part.split())


def class_table(folder: Path, kind: EpicKind) -> Path | None:
    """The file that names the classes; None if there is none."""
    return next((folder / name for name in kind.class_tables if (folder / name).is_file()), None)


def names_in_table(path: Path, problems: ProblemsOfTables) -> dict[int, str]:
    """id -> name of each class, in the order of the ids. Whatever is wrong with the table becomes a problem."""
    names: dict[int, str] = {}
    line_of_name: dict[str, int] = {}
    for line, cells in rows_of_table(path, (ID, KEY), problems):
        reader = CellReader(line, cells, problems)
        number, name = reader.needed(ID, id_of, -1), readable(reader.needed(KEY, _key, ""))
        if reader.has_problems:
            continue
        if number in names:
            problems.add(line, f"id: {number} is the class {names[number]!r} already")
        elif line_of_name.setdefault(name, line) != line:
            problems.add(line, f"key: {name!r} is the name of {problems.place(line_of_name[name])}, too")
        else:
            names[number] = name
    if not names and not problems.count:
        problems.add(problems.line_of(path.name, 2), "expected rows of classes, got none")
    return dict(sorted(names.items()))


def names_by_words(folder: Path, kind: EpicKind) -> dict[int, str]:
    """id -> name of each class that a clip has, when no table names them: its most frequent word in the narrations.

    Rows that cannot be understood are left out here; whoever makes clips of them reports them.
    """
    words: dict[int, Counter[str]] = {}
    for cells in _rows_of_clips(folder, kind):
        number, word = cells[kind.class_column].strip(), readable(cells[kind.word_column])
        if number.isdecimal() and _is_name(word):
            words.setdefault(int(number), Counter())[word] += 1
    names = {number: max(counts, key=lambda word: (counts[word], word)) for number, counts in sorted(words.items())}
    repeated = Counter(names.values())
    return {number: name if repeated[name] == 1 else f"{name} ({number})" for number, name in names.items()}


def _rows_of_clips(folder: Path, kind: EpicKind) -> Iterator[Cells]:
    for name in SPLIT_OF_TABLE:
        yield from (
            cells
            for _, cells in rows_of_table(folder / name, (kind.class_column, kind.word_column), LineProblems(name))
        )


def _is_name(word: str) -> bool:
    try:
        return bool(class_of("", word))
    except ValueError:
        return False


def _key(column: str, text: str) -> str:
    if not readable(text):
        raise ValueError(f"{column}: expected the name of a class, got {shown(text)}")
    return class_of(column, text)
