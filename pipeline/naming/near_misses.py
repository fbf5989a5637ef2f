"""Suggests known names for unknown ones, in messages."""

import difflib
from collections.abc import Collection

from embedonce.pipeline.naming.class_names import words

SHOWN = 3
MAX_COMPARED = 10_000  # known names that an unknown one is compared with, letter by letter


def near_miss(name: str, known: Collection[str]) -> str | None:
    """The known name that differs only in case or in how words are joined, or else the one spelled most alike."""
    plain = words(name).casefold()
    same = next((other for other in known if words(other).casefold() == plain), None)
    if same is not None or len(known) > MAX_COMPARED:
        return same
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)


def with_near_misses(names: Collection[str], known: Collection[str]) -> str:
    """The first names, each with a suggestion if there is one: `'cpu' (did you mean 'cup'?), 'x', …`."""
    shown = []
    for name in list(names)[:SHOWN]:
        near = near_miss(name, known)
        shown.append(repr(name) + (f" (did you mean {near!r}?)" if near is not None else ""))
    return ", ".join(shown) + (", …" if len(names) > SHOWN else "")
