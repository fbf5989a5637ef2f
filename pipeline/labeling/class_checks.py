"""Checks that class names and prompts are distinct and understandable, before any frame is embedded."""

import logging
from collections import defaultdict
from collections.abc import Collection

import numpy as np

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.placeholders import quoted
from embedonce.pipeline.naming import class_names
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.teachers.teacher import LongTexts

log = logging.getLogger(__name__)

SAME_COSINE = 1 - 1e-6  # of class vectors that count as identical
BLOCK = 2048  # rows of the cosine matrix in memory
ENGLISH_ONLY = "teachers trained on English captions understand few of them"


def check_classes(source: Source, prompts: tuple[tuple[str, ...], ...], named: Collection[str] | None = None) -> None:
    """Raise InputError for duplicate class names and codes; warn about names that a text tower may not understand, and
    about classes with the same prompts.

    prompts: the texts of each class, or () if no text tower is used. named: the classes whose names are in their
    prompts; all by default. Names of published annotations only give warnings.
    """
    read = (source.classes if named is None else tuple(named)) if prompts else ()
    _check_codes(source, read)
    _check_equivalent(source)
    _warn_of_same_prompts(source, prompts)
    glued, foreign = class_names.joined_words(read), class_names.not_latin(read)
    if glued:
        log.warning("these class names may be several words run together: %s%s", _some(glued), _map_hint(source))
    if foreign:
        log.warning(
            "these class names are not in Latin script, and %s: %s%s", ENGLISH_ONLY, _some(foreign), _map_hint(source)
        )


def check_vectors(source: Source, class_text: np.ndarray) -> None:
    """Warn if several classes have the same text embedding. class_text: (C, D) unit vectors.

    Only a warning, since the cached embeddings are useful all the same: relabel computes other logits from them.
    """
    groups = [tuple(source.classes[label] for label in group) for group in coinciding(class_text)]
    if groups:
        log.warning(
            "the teacher's text tower cannot distinguish some classes, so their soft logits are equal: %s%s",
            _groups(groups),
            _map_hint(source),
        )


def warn_of_long_texts(classes: tuple[str, ...], texts: LongTexts) -> None:
    """Warn about prompts that a text tower does not read to their ends."""
    if texts.count:
        shown = "; ".join(
            f"class {classes[label]!r}, {tokens} tokens: {quoted(text)}" for label, text, tokens in texts.first
        )
        log.warning(
            "%d prompts are longer than the %d tokens that the teacher reads, and their ends are cut off: %s%s",
            *(texts.count, texts.context, shown, "; …" if texts.count > len(texts.first) else ""),
        )


def coinciding(vectors: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of equal rows of a (C, D) matrix of unit vectors, each of two or more row indices."""
    first = np.arange(len(vectors))
    for start in range(0, len(vectors), BLOCK):
        same = vectors[start : start + BLOCK] @ vectors.T >= SAME_COSINE
        same[np.arange(len(same)), start + np.arange(len(same))] = True
        first[start : start + BLOCK] = same.argmax(1)
    groups = defaultdict(list)
    for row, leader in enumerate(first.tolist()):
        groups[leader].append(row)
    return [tuple(rows) for rows in groups.values() if len(rows) > 1]


def _check_codes(source: Source, names: tuple[str, ...]) -> None:
    codes = class_names.codes(names)
    if not codes:
        return
    problem = (
        f"{len(codes)} of {len(source.classes)} class names are codes ({_some(codes)}), but class prompts need "
        "readable names"
    )
    if source.named_by == "file":
        raise InputError(f"{problem}: write readable names into the file of --classes")
    if source.named_by == "map":
        log.warning("%s: write some into the file of --class-names", problem)
        return
    examples = ", ".join(f"`{code},{class_names.without_number(code) or 'NAME'}`" for code in codes[:2])
    remedy = f"use --class-names MAP.csv, a file with one line per class ({examples})"
    if source.named_by != "folders":
        log.warning("%s: %s", problem, remedy)
        return
    raise InputError(
        f"{problem}: {remedy}, --prompts FILE with prompts for each class, or --teacher-head fitted or none, which do "
        "not use names"
    )


def _warn_of_same_prompts(source: Source, prompts: tuple[tuple[str, ...], ...]) -> None:
    """Only a warning, as in check_vectors()."""
    named: dict[frozenset[str], list[str]] = defaultdict(list)
    for texts, name in zip(prompts, source.classes[: len(prompts)], strict=True):
        named[frozenset(texts)].append(name)
    groups = [tuple(names) for names in named.values() if len(names) > 1]
    if groups:
        log.warning(
            "class prompts are the same for %s: their soft logits are equal (--prompts FILE gives them different ones)",
            _groups(groups),
        )


def _check_equivalent(source: Source) -> None:
    alike = class_names.equivalent_names(source.classes)
    if not alike:
        return
    problem = f"class names differ only in case, encoding of accents or how words are joined: {_groups(alike)}"
    if source.named_by == "annotations":
        log.warning("%s%s", problem, _map_hint(source))
        return
    remedy = {
        "table": "write one name in the column `label`, or rename the classes with --class-names MAP.csv",
        "folders": "put their videos into one folder, or rename the classes with --class-names MAP.csv (folder,name)",
        "file": "write different names into the file of --classes",
        "map": "write different names into the file of --class-names",
    }
    raise InputError(f"{problem}; {remedy[source.named_by]}")


def _map_hint(source: Source) -> str:
    return "" if source.named_by == "file" else " (--class-names MAP.csv renames them)"


def _groups(groups: list[tuple[str, ...]]) -> str:
    shown = "; ".join(" and ".join(map(repr, group[:3])) + " and …" * (len(group) > 3) for group in groups[:3])
    return shown + (f"; … ({len(groups)} in all)" if len(groups) > 3 else "")


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
