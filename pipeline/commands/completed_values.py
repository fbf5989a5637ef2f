"""Values that a shell completes and that click does not know by itself: names in lists, label sets of a cache."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from click.shell_completion import CompletionItem

from embedonce.models.names import STUDENT_SIZES
from embedonce.pipeline.export.registry import format_names
from embedonce.pipeline.settings import shared
from embedonce.pipeline.sources.ego4d.annotations.registry import KINDS
from embedonce.pipeline.tracking.registry import tracker_names

Values = Mapping[str, Any]  # of the options before, by name


def label_sets(values: Values) -> Collection[str]:
    """The names of the label sets of the local cache that --cache-dir names; none if it cannot be read."""
    place = values.get("cache_dir") or shared.CACHE_DIR.default
    if not isinstance(place, Path):
        return ()  # in a bucket: a shell should not wait for a network
    from embedonce.cache.label_set_reader import LabelSetReader
    from embedonce.cache.layout import Layout

    try:
        return LabelSetReader(Layout.at(place)).names()
    except Exception:  # nothing that is there may disturb somebody who types
        return ()


# option -> what it may be; those of LISTS, comma-separated
NAMES: dict[str, Callable[[Values], Collection[str]]] = {
    "label_set": label_sets,
    "clips_from": label_sets,
    "student_size": lambda values: STUDENT_SIZES,
    "formats": lambda values: format_names(),
    "report_to": lambda values: tracker_names(),
    "annotations": lambda values: tuple(KINDS),
}
LISTS = {"student_size", "formats", "report_to", "annotations"}


def completed(option: str, values: Values, incomplete: str) -> list[CompletionItem]:
    """The completions of a value; none for options whose type knows them.

    In a list, what precedes the last comma stays, and is not offered again.
    """
    if option not in NAMES:
        return []
    known = NAMES[option](values)
    if option not in LISTS:
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]
    kept, comma, last = incomplete.rpartition(",")
    used = set(kept.split(","))
    return [CompletionItem(kept + comma + name) for name in known if name.startswith(last) and name not in used]
