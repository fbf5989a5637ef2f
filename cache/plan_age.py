"""Whether a plan is missing, or older than what was committed: then it must be rebuilt before it is extended.

Reads names and numbers only, so that commands which do not need the plan can afford the check.
"""

from collections.abc import Collection, Iterable

from embedonce.cache import documents
from embedonce.cache.errors import BusyError, DamagedError, rebuild_hint, some
from embedonce.cache.layout import Layout, numbered_file
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
    root = layout.root
    paths = layout.plan.list(".json")
    planned: set[str] = set().union(*layout.store.map(_unit_names, paths))
    if (lacking := expected - planned) and not any(map(_is_damaged, paths)):
        refuse_lacking(layout, lacking)
    if [path.name for path in paths] != [numbered_file(number) for number in range(len(paths))]:
        raise DamagedError(f"{layout.plan} lacks a part of the plan; {rebuild_hint(root)}", has_advice=True)
    if last_part >= len(paths):
        raise DamagedError(older_than_clips(root, last_part), has_advice=True)


def last_clip_part(layout: Layout) -> int:
    """The highest plan part that a label set has clips for; -1 if there are no clips."""
    stems = [path.stem for name in layout.label_sets() for path in (layout.labels / name / "clips").list(".json")]
    return max((int(stem) for stem in stems if stem.isdecimal()), default=-1)


def refuse_lacking(layout: Layout, lacking: Collection[str]) -> None:
    """DamagedError because the plan lacks these committed units; BusyError if all of them were removed meanwhile."""
    if not any((layout.frame_paths().records / f"{unit}.json").exists() for unit in lacking):
        raise BusyError(f"another process removes videos from {layout.root}; run the command again when it is done")
    raise DamagedError(older_plan(layout.root, lacking), has_advice=True)


def older_plan(root: StoredPath, lacking: Iterable[str]) -> str:
    """The message for a plan that lacks these committed units."""
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
