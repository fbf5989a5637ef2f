"""The names of the classes of Assembly101, by the numbers that its tables of clips use: actions.csv."""

from pathlib import Path

from embedonce.pipeline.sources.assembly101.kinds import AssemblyKind
from embedonce.pipeline.sources.assembly101.layout import CLASSES
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import class_of, id_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table


def class_names(folder: Path, kind: AssemblyKind, problems: ProblemsOfTables) -> dict[int, str]:
    """Number -> name of each class, in the order of the numbers. Whatever is wrong with the table becomes a problem.

    A row is an action, so verbs and nouns are in many rows.
    """
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for line, cells in rows_of_table(folder / CLASSES, (kind.class_column, kind.name_column), problems):
        reader = CellReader(line, cells, problems)
        number = reader.needed(kind.class_column, id_of, -1)
        name = reader.needed(kind.name_column, _name, "")
        if reader.has_problems:
            continue
        if names.setdefault(number, name) != name:
            problems.add(line, f"{kind.class_column}: {number} is the class {names[number]!r} already")
        elif numbers.setdefault(name, number) != number:
            problems.add(line, f"{kind.name_column}: {name!r} is the class {numbers[name]} already")
    if not names and not problems.count:
        problems.add(problems.line_of(CLASSES, 2), "expected rows of classes, got none")
    return dict(sorted(names.items()))


def _name(column: str, text: str) -> str:
    if not text:
        raise ValueError(expected(column, "the name of a class", text))
    return class_of(column, text)
