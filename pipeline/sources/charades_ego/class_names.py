"""The names of the classes of Charades-Ego, by the codes that its lists use."""

from pathlib import Path

from embedonce.pipeline.sources.charades_ego.layout import CLASSES
from embedonce.pipeline.sources.manifest.cell_values import class_of
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables, expected
from embedonce.pipeline.sources.manifest.list_lines import lines_of_list


def class_names(folder: Path, problems: ProblemsOfTables) -> dict[str, str]:
    """Code (`c000`) -> name of each class, in the order of the file. Whatever is wrong with it becomes a problem."""
    names: dict[str, str] = {}
    for line, text in lines_of_list(folder / CLASSES, problems):
        try:
            code, name = _code_and_name(text)
        except ValueError as error:
            problems.add(line, str(error))
            continue
        if code in names or name in names.values():
            problems.add(line, f"class: {text!r} repeats a code or a name")
        else:
            names[code] = name
    if not names and not problems.count:
        problems.add(problems.line_of(CLASSES, 1), "expected classes, got none")
    return names


def _code_and_name(text: str) -> tuple[str, str]:
    code, _, name = text.partition(" ")
    if not (code.startswith("c") and code[1:].isdecimal() and name.strip()):
        raise ValueError(expected("class", "a code and a name, such as c008 Opening a door", text))
    return code, class_of("class", name.strip())
