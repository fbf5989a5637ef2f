"""The document of a removal that is under way: what will be removed, and which units take the place of others."""

from dataclasses import dataclass

from embedonce.cache import documents
from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.layout import Layout
from embedonce.cache.schema import check_uid, check_unit


@dataclass(frozen=True)
class Removal:
    """videos: uids, or names in quarantine, of what is removed. label_sets, teachers: names of those that are removed.

    units: (a unit with rows of these videos, the new unit for its other rows; empty if there are no others).
    is_withdrawal: whether extraction must not bring the videos back.
    """

    videos: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    label_sets: tuple[str, ...] = ()
    is_withdrawal: bool = False
    teachers: tuple[str, ...] = ()

    @property
    def old_units(self) -> frozenset[str]:
        return frozenset(old for old, _ in self.units)

    @property
    def unit_names(self) -> frozenset[str]:
        """The old units and the new ones."""
        return self.old_units | {new for _, new in self.units if new}


def read_removal(layout: Layout) -> Removal | None:
    """The removal that is under way, or that was interrupted; None if there is none. DamagedError if it is damaged."""
    return _removal_from(documents.read(layout.removal), str(layout.removal)) if layout.removal.exists() else None


def begin_removal(layout: Layout, removal: Removal) -> None:
    """Publish a removal: from here on it will be finished, by whoever writes the cache next."""
    fields = documents.to_fields(removal)
    layout.removal.put_if_absent(documents.serialize_verified(fields, _removal_from, str(layout.removal)))


def _removal_from(document: dict, name: str) -> Removal:
    with documents.as_damaged_error(name):
        units = tuple(map(parse_list, parse_list(document["units"])))
        videos, label_sets = parse_list(document["videos"]), parse_list(document["label_sets"])
        teachers = parse_list(document.get("teachers", []))
        removal = validate_types(Removal(videos, units, label_sets, document["is_withdrawal"], teachers))
        for old, new in removal.units:
            check_unit(old)
            if new:
                check_unit(new)
        for name in (*removal.label_sets, *removal.teachers):
            check_uid(name)
        return removal
