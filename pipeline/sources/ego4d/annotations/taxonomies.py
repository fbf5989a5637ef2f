"""Class lists that accompany the annotations: the taxonomies of FHO, and the verb table of narrations.

`narration_verb_taxonomy.csv` (EgoVLP) has a row for each of 118 classes: a label, and a list of phrases that mean it.
"""

import ast
import csv
import io

from embedonce.cache import strict_json
from embedonce.models.plain_files import read_plain
from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationReader
from embedonce.pipeline.sources.ego4d.parsing.notes import Reason
from embedonce.pipeline.sources.ego4d.verbs.verb_finder import VerbFinder, finder_for, split_phrases

MAX_BYTES = 16 << 20
NARRATION_VERBS = "narration_verb_taxonomy.csv"
FHO_TAXONOMIES = ("fho_main_taxonomy.json", "fho_lta_taxonomy.json")
MAX_LIST_LENGTH = 1 << 16  # characters of one row's list of phrases

NO_ROW_LABEL = Reason("no-row-label", f"rows of {NARRATION_VERBS} without a label, dropped")
NO_PHRASES = Reason("no-phrases", f"rows of {NARRATION_VERBS} without a list of phrases, matched by their label alone")


def fho_taxonomy(reader: AnnotationReader, file: str, words: str) -> tuple[str, ...] | None:
    """The list `words` (verbs or nouns) of a taxonomy file, in its order; None if the file does not exist."""
    if not reader.exists(file):
        return None
    path, name = reader.folder / file, reader.path_for_messages(file)
    try:
        document = strict_json.loads(read_plain(path, MAX_BYTES))
    except OSError as error:
        reader.problems.add_file(name, "a taxonomy", str(error.strerror))
        return None
    except ValueError as error:
        reader.problems.add_file(name, "JSON", str(error))
        return None
    names = document.get(words) if isinstance(document, dict) else None
    is_list = isinstance(names, list) and all(isinstance(n, str) and n.strip() and n.isprintable() for n in names)
    if not (is_list and names and len(set(names)) == len(names)):
        reader.problems.add_file(name, f"a list of distinct names at `{words}`", names)
        return None
    return tuple(names)


def read_narration_verbs(reader: AnnotationReader) -> VerbFinder:
    """A finder for the verbs of narrations, whose classes become those of the reader.

    The classes are those of NARRATION_VERBS if it exists, else the verbs of an FHO taxonomy, else all verbs.
    """
    phrases: dict[str, list[str]] | None
    if reader.exists(NARRATION_VERBS):
        phrases = _read_verb_table(reader)
    else:
        taxonomy = next((name for name in FHO_TAXONOMIES if reader.exists(name)), FHO_TAXONOMIES[0])
        names = fho_taxonomy(reader, taxonomy, "verbs")
        phrases = None if names is None else {name: [] for name in names}
    reader.set_classes(None if phrases is None else tuple(phrases))
    return VerbFinder(None) if phrases is None else finder_for(phrases)


def _read_verb_table(reader: AnnotationReader) -> dict[str, list[str]] | None:
    """label -> phrases, in the order of the file; None, and a wrong file, if it is not such a table."""
    rows = _read_rows(reader)
    if rows is None:
        return None
    name = reader.path_for_messages(NARRATION_VERBS)
    phrases_of: dict[str, list[str]] = {}
    for i, row in enumerate(rows, 1):
        label, phrases = (row["label"] or "").strip(), _parse_list(row["group"])
        place = f"{name}: row {i}"
        if not split_phrases(label) or not label.isprintable():
            reader.problems.add_entry(NO_ROW_LABEL, "", place, "label", "a printable text", row["label"])
            continue
        if phrases is None:
            reader.problems.add_entry(NO_PHRASES, "", place, "group", "a list of phrases", row["group"])
        phrases_of.setdefault(label, []).extend(phrases or [])
    return phrases_of


def _read_rows(reader: AnnotationReader) -> list[dict[str, str]] | None:
    path, name = reader.folder / NARRATION_VERBS, reader.path_for_messages(NARRATION_VERBS)
    try:
        if path.stat().st_size > MAX_BYTES:
            reader.problems.add_file(name, "a table of verbs", f"{path.stat().st_size} bytes")
            return None
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reader.problems.add_file(name, "a CSV file", str(error))
        return None
    if not rows or not {"label", "group"} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no row"
        reader.problems.add_file(name, "a CSV file with the columns label and group", columns)
        return None
    return rows


def _parse_list(text: str | None) -> list[str] | None:
    """The strings of a list in Python notation; None if the text is not one."""
    if text is None or len(text) > MAX_LIST_LENGTH:
        return None
    try:
        values = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return values if isinstance(values, list) and all(isinstance(value, str) for value in values) else None
