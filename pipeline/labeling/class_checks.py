"""Checks that class names and prompts are distinct and understandable, before any frame is embedded."""

import logging
from collections import defaultdict

import numpy as np

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming import class_names
from embedonce.pipeline.sources.source import Source

log = logging.getLogger(__name__)

SAME_COSINE = 1 - 1e-6  # of class vectors that count as identical
BLOCK = 2048  # rows of the cosine matrix in memory
ENGLISH_ONLY = "teachers trained on English captions understand few of them"


def check_classes(source: Source, prompts: tuple[tuple[str, ...], ...]) -> None:
    """Raise InputError for duplicate class names and codes; warn about names that a text tower may not understand.

    prompts: the texts of each class, or () if no text tower is used. Names of published annotations only give warnings.
    """
    if prompts:
        _check_codes(source)
    _refuse_or_warn(source, _same(source.classes, prompts))
    if prompts:
        glued, foreign = class_names.joined_words(source.classes), class_names.not_latin(source.classes)
        if glued:
            log.warning("these class names may be several words run together: %s%s", _some(glued), _map_hint(source))
        if foreign:
            log.warning(
                "these class names are not in Latin script, and %s: %s%s",
                ENGLISH_ONLY,
                _some(foreign),
                _map_hint(source),
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


def _check_codes(source: Source) -> None:
    codes = class_names.codes(source.classes) if source.named_by in ("folders", "file") else []
    if not codes:
        return
    problem = (
        f"{len(codes)} of {len(source.classes)} class names are codes ({_some(codes)}), but class prompts need "
        "readable names"
    )
    if source.named_by == "file":
        raise InputError(f"{problem}: write readable names into the file of --classes")
    examples = ", ".join(f"`{code},{class_names.without_number(code) or 'NAME'}`" for code in codes[:2])
    raise InputError(
        f"{problem}: use --class-names MAP.csv, a file with one line per class ({examples}), or "
        "--teacher-head fitted or none, which do not use names"
    )


def _same(classes: tuple[str, ...], prompts: tuple[tuple[str, ...], ...]) -> str:
    """Why some classes are duplicates, as text; "" if none are."""
    alike = class_names.equivalent_names(classes)
    if alike:
        return f"class names differ only in case, encoding of accents or how words are joined: {_groups(alike)}"
    named: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for texts, name in zip(prompts, classes[: len(prompts)], strict=True):
        named[texts].append(name)
    groups = [tuple(names) for names in named.values() if len(names) > 1]
    return f"class prompts are the same for {_groups(groups)}" if groups else ""


def _refuse_or_warn(source: Source, problem: str) -> None:
    if not problem:
        return
    if source.named_by == "annotations":
        log.warning("%s: their soft logits are equal%s", problem, _map_hint(source))
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
