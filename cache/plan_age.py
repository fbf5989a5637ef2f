"""Whether a plan is missing, or older than what was committed: then it must be rebuilt before it is extended.

Reads names and numbers only, so that commands which do not need the plan can afford the check.
"""

from collections.abc import Collection, Iterable

from embedonce.cache import documents
from embedonce.cache.errors import BusyError, DamagedError, rebuild_hint, some
from embedonce.cache.layout import Layout, numbered_file
from embedonce.cache.listed_parts import first_missing, refuse_unlisted
from embedonce.cache.records import Record
from embedonce.cache.stores.stored_path import StoredPath

_NAME = b'"name":"'  # of a unit; no text in JSON contains these bytes: its quotes are escaped


def check_age(layout: Layout, records: dict[str, Record], last_part: int) -> None:
    """DamagedError if the plan lacks units that these records were committed by, or parts that clips belong to.

    records, last_part (from last_clip_part): read before this call, because a writer plans before it commits. Units
    that were never planned do not count. A damaged part does not count as old: everything committed can still be read,
    and whoever needs the plan finds the damage.
    """
    expected = {unit for unit, record in records.items() if record.part is not None}
    if not expected:
        return
    paths = layout.plan.list(".json")
    planned: set[str] = set().union(*layout.store.map(_unit_names, paths))
    number = first_missing(layout.plan, [path.name for path in paths])
    if (lacking := expected - planned) and not any(map(_is_damaged, paths)):
        refuse_older(layout, number, lacking, last_part)
    if number < len(paths):
        raise DamagedError(f"{layout.plan} lacks {numbered_file(number)}; {rebuild_hint(layout.root)}", has_advice=True)
    refuse_older(layout, number, (), last_part)


def last_clip_part(layout: Layout) -> int:
    """The highest plan part that a label set has clips for; -1 if there are no clips."""
    stems = [path.stem for name in layout.label_sets() for path in (layout.labels / name / "clips").list(".json")]
    return max((int(stem) for stem in stems if stem.isdecimal()), default=-1)


def refuse_older(layout: Layout, num_parts: int, lacking: Collection[str], last_part: int) -> None:
    """DamagedError if a plan of so many parts, without gaps, lacks these committed units, or parts that have clips.

    last_part: from last_clip_part(). BusyError if all of the units were removed meanwhile; StorageError if the plan
    has more parts than the store has listed.
    """
    if not lacking and (last_part < num_parts or not num_parts):
        return
    refuse_unlisted(layout.plan, num_parts)
    if not lacking:
        raise DamagedError(older_than_clips(layout.root, last_part), has_advice=True)
    if not any((layout.frame_paths().records / f"{unit}.json").exists() for unit in lacking):
        raise BusyError(removal_message(layout.root))
    raise DamagedError(_older_plan(layout.root, lacking), has_advice=True)


def removal_message(root: StoredPath) -> str:
    """The message for documents that vanished because another process removes videos from a cache."""
    return f"another process removes videos from {root}; run the command again when it is done"


def _older_plan(root: StoredPath, lacking: Iterable[str]) -> str:
    units = sorted(lacking)
    return (
        f"the plan of {root} is missing or older than its records: it lacks {len(units)} committed units "
        f"({some(units)}). Nothing was changed; {rebuild_hint(root)}"
    )


def older_than_clips(root: StoredPath, number: int) -> str:
    """The message for a plan that lacks a part which a label set has clips for."""
    return (
        f"the plan of {root} is older than its label sets: it lacks part {number:06d}, which has clips. "
        f"Nothing was changed; {rebuild_hint(root)}"
    )


def _unit_names(path: StoredPath) -> set[str]:
    """The units of a plan part, found without parsing it; not all of them if it is damaged."""
    try:
        pieces = path.get().split(_NAME)
    except DamagedError:
        return set()
    return {piece[: piece.find(b'"')].decode("ascii", "replace") for piece in pieces[1:]}


def _is_damaged(path: StoredPath) -> bool:
    try:
        return not documents.has_valid_checksum(path.get())
    except DamagedError:
        return True
