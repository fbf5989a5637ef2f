"""The verbs that narrations are labeled by: EgoVLP's table where it is there, else the verbs of FHO's taxonomies.

`narration_verb_taxonomy.csv` has a row for each of 118 classes: a label and a list of the phrases that mean it.
"""

import ast
import csv
import io
import re
from collections.abc import Iterable, Iterator

from embedonce.pipeline.sources.ego4d.reading import Reading
from embedonce.pipeline.sources.ego4d.taxonomy import MAX_BYTES, fho_taxonomy
from embedonce.pipeline.sources.ego4d.verbs.verb_finder import Verbs
from embedonce.pipeline.sources.ego4d.verbs.verb_forms import bases

NARRATION_VERBS = "narration_verb_taxonomy.csv"
FHO_TAXONOMIES = ("fho_main_taxonomy.json", "fho_lta_taxonomy.json")
MAX_LIST = 1 << 16  # characters of a row's list of phrases
_WORD = re.compile(r"[a-z]+")
_NO_LABEL = f"rows of {NARRATION_VERBS} have no label and were left out"
_BROKEN_ROWS = f"rows of {NARRATION_VERBS} have no list of phrases and stand for the words of their label"


def read_verbs(reading: Reading) -> Verbs:
    """The verbs to look for, and their classes made those of the reading. Without any table every verb is a class."""
    if reading.exists(NARRATION_VERBS):
        groups = _narration_verbs(reading)
    else:
        taxonomy = next((name for name in FHO_TAXONOMIES if reading.exists(name)), FHO_TAXONOMIES[0])
        names = fho_taxonomy(reading, taxonomy, "verbs")
        groups = None if names is None else {name: [] for name in names}
    reading.use_classes(None if groups is None else tuple(groups))
    return Verbs(None) if groups is None else verbs_of(groups)


def verbs_of(groups: dict[str, list[str]]) -> Verbs:
    """The verbs of classes such as `cut_(trim,_slice,_chop)`, given further phrases of each."""
    return Verbs(_phrases(groups))


def _phrases(groups: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """(phrase, class): the heads of all labels, then what is in their parentheses and groups, then base forms of those.

    So `lift` is the class of its name and not a synonym of `take`.
    """
    heads = [(phrase, name) for name in groups for phrase in _split(name.partition("(")[0])]
    others = [
        (phrase, name)
        for name, group in groups.items()
        for text in (name.partition("(")[2], *group)
        for phrase in _split(text)
    ]
    yield from heads
    yield from others
    for phrase, name in others:
        first, _, rest = phrase.partition(" ")
        yield from ((f"{base} {rest}".strip(), name) for base in bases(first))


def _split(text: str) -> Iterable[str]:
    """`plug-in, increase/reduce` -> `plug in`, `increase`, `reduce`."""
    parts = re.split(r"[(),/;]+", text.lower().replace("_", " ").replace("-", " "))
    return [phrase for part in parts if (phrase := " ".join(_WORD.findall(part)))]


def _narration_verbs(reading: Reading) -> dict[str, list[str]] | None:
    """label -> phrases, in the order of the file; None, and a wrong file, where it is no such table."""
    path, name = reading.folder / NARRATION_VERBS, reading.name(NARRATION_VERBS)
    try:
        if path.stat().st_size > MAX_BYTES:
            reading.problems.add_file(name, "a table of verbs", f"{path.stat().st_size} bytes")
            return None
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reading.problems.add_file(name, "a CSV file", str(error))
        return None
    if not rows or not {"label", "group"} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no row"
        reading.problems.add_file(name, "a CSV file with the columns label and group", columns)
        return None
    groups: dict[str, list[str]] = {}
    for i, row in enumerate(rows, 1):
        label, phrases = (row["label"] or "").strip(), _list_of(row["group"])
        if not _split(label) or not label.isprintable():
            reading.problems.add_odd(_NO_LABEL, f"{name}: row {i}", "label", "a printable text", row["label"])
            continue
        if phrases is None:
            reading.problems.add_odd(_BROKEN_ROWS, f"{name}: row {i}", "group", "a list of phrases", row["group"])
        groups.setdefault(label, []).extend(phrases or [])
    return groups


def _list_of(text: str | None) -> list[str] | None:
    """The strings of a list as Python writes it; None where a text is none."""
    if text is None or len(text) > MAX_LIST:
        return None
    try:
        values = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return values if isinstance(values, list) and all(isinstance(value, str) for value in values) else None
