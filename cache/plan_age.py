"""Whether a plan is missing, or older than what was committed by it: then it must be rebuilt before it grows.

Looks at names and numbers alone, so that commands which need no plan can afford it, too.
"""

import re
from pathlib import Path

from embedonce.cache import documents
from embedonce.cache.errors import DamagedError, DamagedPlanError, rebuild_hint, some
from embedonce.cache.files import list_folder, read_file
from embedonce.cache.layout import Layout
from embedonce.cache.records import Record

_UNIT_NAME = re.compile(rb'"name":"([0-9]{6,12})"')  # no text in JSON has these bytes: its quotes are escaped


def check_age(root: Path, records: dict[str, Record], last_part: int) -> None:
    """DamagedError where the plan lacks units that these records were committed by, or parts that clips belong to.

    records, last_part: what was there before this is called, for a writer plans before it commits. last_part: of
    last_clip_part(). Units that were never planned count for nothing. A part that is damaged is no older one: what was
    committed can be read all the same, and whoever needs the plan finds the damage.
    """
    expected = {unit for unit, record in records.items() if record.part is not None}
    if not expected:
        return
    layout = Layout(root)
    paths = list_folder(layout.plan, ".json")
    names = [_unit_names(path) for path in paths]
    if None not in names and (lacking := expected.difference(*names)):
        raise DamagedPlanError(older_plan(root, lacking))
    if [path.name for path in paths] != [f"{number:06d}.json" for number in range(len(paths))]:
        raise DamagedPlanError(f"{layout.plan} lacks a part of the plan; {rebuild_hint(root)}")
    if last_part >= len(paths):
        raise DamagedPlanError(older_than_clips(root, last_part))


def last_clip_part(layout: Layout) -> int:
    """The highest part of the plan that a label set has clips for; -1 where there is none."""
    stems = [path.stem for name in layout.label_sets() for path in list_folder(layout.labels / name / "clips", ".json")]
    return max((int(stem) for stem in stems if stem.isdecimal()), default=-1)


def older_plan(root: Path, lacking) -> str:
    """The sentence for a plan that lacks these committed units."""
    return (
        f"the plan of {root} is missing or older than its records: it lacks {len(lacking)} committed units "
        f"({some(sorted(lacking))}). Nothing was changed; {rebuild_hint(root)}"
    )


def older_than_clips(root: Path, number: int) -> str:
    """The sentence for a plan that lacks a part which a label set has clips for."""
    return (
        f"the plan of {root} is older than its label sets: it lacks part {number:06d}, which has clips. "
        f"Nothing was changed; {rebuild_hint(root)}"
    )


def _unit_names(path: Path) -> set[str] | None:
    """The units of a part of the plan; None where it is damaged, so that nobody knows."""
    try:
        data = read_file(path)
    except DamagedError:
        return None
    return {name.decode() for name in _UNIT_NAME.findall(data)} if documents.is_whole(data) else None
