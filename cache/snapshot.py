"""What is in a cache at one time, for readers that compare its documents while a writer may commit more.

A writer publishes a document after everything that it refers to. Here documents are listed in the opposite order, so
that whatever a listed one refers to is found later, and what is committed meanwhile does not look like a
contradiction.
"""

import contextlib
from dataclasses import dataclass
from itertools import chain

from embedonce.cache.catalog import Catalog
from embedonce.cache.errors import BusyError, DamagedError, LabelSetError
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.plan_age import last_clip_part, removal_message
from embedonce.cache.records import record_paths
from embedonce.cache.stores.stored_path import StoredPath


@dataclass(frozen=True)
class Snapshot:
    """manifest: None if it cannot be read. label_sets: name -> records of its logits; teachers: name -> records of its
    embeddings. records: of the frames.

    last_clip_part: the highest plan part that had clips; -1 if there were none.
    """

    manifest: dict | None
    label_sets: dict[str, list[StoredPath]]
    teachers: dict[str, list[StoredPath]]
    last_clip_part: int
    records: list[StoredPath]


def take_snapshot(catalog: Catalog) -> Snapshot:
    """List the documents of a cache, whose plan has not been read yet. Label sets are read into the catalog."""
    layout = catalog.layout
    manifest, names = read_manifest(layout), layout.label_sets()
    label_sets = {name: record_paths(layout.logit_paths(name).records) for name in names}
    teachers = {name: record_paths(layout.teacher_paths(name).records) for name in layout.added_teachers()}
    for name in names:
        with contextlib.suppress(DamagedError, LabelSetError):  # whoever needs this label set reads it again
            catalog.labels.read(name)
    return Snapshot(manifest, label_sets, teachers, last_clip_part(layout), record_paths(layout.frame_paths().records))


def refuse_removed(layout: Layout, found: Snapshot) -> None:
    """BusyError if something that was listed is being removed, or was removed since: what it refers to is missing."""
    listed = (*found.records, *chain(*found.label_sets.values(), *found.teachers.values()))
    if layout.removal.exists() or not all(path.exists() for path in listed):
        raise BusyError(removal_message(layout.root))
