"""The names of the keysteps of Ego-Exo4D, by step_unique_id: those of the benchmark, or of the whole vocabulary."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from embedonce.pipeline.naming.class_names import equivalent_names
from embedonce.pipeline.sources.ego4d.parsing.json_stream import has_key
from embedonce.pipeline.sources.egoexo.json_files import members_of, wrong
from embedonce.pipeline.sources.manifest.cell_reader import CellReader
from embedonce.pipeline.sources.manifest.cell_values import class_of, id_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.table_rows import rows_of_table

LABEL_ID, STEP_ID, STEP_NAME = "label_id", "step_unique_id", "step_name"
VOCABULARY = "vocabulary"


def benchmark_names(path: Path, problems: ProblemsOfTables) -> dict[int, str]:
    """step_unique_id -> name of each keystep of the benchmark, in the order of their labels."""
    label_of: dict[int, int] = {}
    names: dict[int, str] = {}
    before = problems.count
    for line, cells in rows_of_table(path, (LABEL_ID, STEP_ID, STEP_NAME), problems):
        reader = CellReader(line, cells, problems)
        label, step = reader.needed(LABEL_ID, id_of, -1), reader.needed(STEP_ID, id_of, -1)
        name = reader.needed(STEP_NAME, _name, "")
        if reader.has_problems:
            continue
        if step in names or label in label_of.values():
            problems.add(line, f"label_id {label} or step_unique_id {step} is there twice")
            continue
        label_of[step], names[step] = label, name
    if not names and problems.count == before:
        problems.add(problems.line_of(path.name, 2), "expected rows of keysteps, got none")
    return distinct({step: names[step] for step in sorted(names, key=label_of.__getitem__)})


def vocabulary(paths: Iterable[Path], problems: ProblemsOfTables) -> dict[int, str]:
    """step_unique_id -> name of each keystep that the files know, in the order of the ids; {} if they do not say."""
    names: dict[int, str] = {}
    for path in paths:
        if not has_key(path, VOCABULARY):
            continue
        for _, member, value in members_of(path, VOCABULARY, problems):
            try:
                step, name = _member(member, value)
                if names.setdefault(step, name) != name:
                    raise ValueError(f"{VOCABULARY}: {step} is {names[step]!r} and {name!r}")
            except ValueError as error:
                problems.add(problems.line_of(path.name, 0), str(error))
    return distinct(dict(sorted(names.items())))


def distinct(names: Mapping[int, str]) -> dict[int, str]:
    """The names, with the id added where two of them are alike."""
    alike = {name for group in equivalent_names(set(names.values())) for name in group}
    given = list(names.values())
    return {
        step: f"{name} ({step})" if name in alike or given.count(name) > 1 else name for step, name in names.items()
    }


def _member(member: str, value: object) -> tuple[int, str]:
    if not isinstance(value, str):
        raise ValueError(wrong(VOCABULARY, "names of keysteps", value))
    return id_of(VOCABULARY, member), _name(VOCABULARY, value.strip())


def _name(column: str, text: str) -> str:
    if not text:
        raise ValueError(expected(column, "the name of a keystep", text))
    return class_of(column, text)
