"""Merging caches of one identity into one, which may exist already. The inputs are never changed.

Everything is compared before anything is written. Uses the writer's commits, so that a merge that was stopped anywhere
can be run again, and then ends as if it had not been stopped.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from embedonce.cache.convert import CONFIG, refuse_interrupted
from embedonce.cache.errors import BusyError
from embedonce.cache.layout import Layout
from embedonce.cache.merging.inputs import OpenCache, check_arguments, check_identities, open_input
from embedonce.cache.merging.label_writing import LabelSetsWriter
from embedonce.cache.merging.rows import RowFinder, provenance_of
from embedonce.cache.merging.survey import Survey, survey
from embedonce.cache.plan import Unit
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.store import check_place, has_cache, open_reader, open_writer, read_identity
from embedonce.cache.stores.base import Store
from embedonce.cache.stores.registry import Location, address_of, open_store
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.withdrawn import record_withdrawn
from embedonce.cache.writer import CacheWriter

OnProgress = Callable[[int], None]  # called after each unit, with its number of rows


@dataclass(frozen=True)
class Merged:
    """What the target has after a merge. num_units, num_rows: that were committed. num_logits: shards of logits.

    without_logits: label sets of which some rows have no logits, because there is no head to compute them with.
    """

    num_units: int
    num_rows: int
    num_logits: int
    without_logits: tuple[str, ...]
    total_videos: int
    total_rows: int


def planned_merge(sources: Sequence[Location], into: Location) -> Survey:
    """What a merge would do; writes nothing and takes no lock. Errors as in merge()."""
    target, inputs, identity = _opened(sources, into)
    if not has_cache(target):
        return survey(inputs, None, identity)
    refuse_interrupted(target)
    return survey(inputs, OpenCache.of(open_reader(target)), identity)


def merge(
    sources: Sequence[Location],
    into: Location,
    on_survey: Callable[[Survey], None] = lambda survey: None,
    on_progress: OnProgress = lambda rows: None,
) -> Merged:
    """Add everything that the caches at `sources` have to the one at `into`, which is created if it does not exist.

    on_survey: called with what will be done, before anything is written; may raise an error. MergeArgumentError if a
    cache is given twice; IdentityMismatchError, MergeConflictError or LabelSetError, before anything is written, if the
    caches contradict each other; DamagedError if an input is damaged: what was committed until then is sound.
    """
    target, inputs, identity = _opened(sources, into)
    target.check_writable()
    found = None
    if not has_cache(target):
        found = survey(inputs, None, identity)
        on_survey(found)
    with closing(open_writer(target, identity)) as writer:
        if found is None:
            found = survey(inputs, OpenCache.of(writer.reader()), identity)
            on_survey(found)
        elif writer.plan or writer.committed_units():
            raise BusyError(f"{writer.cache_dir} was created by another process meanwhile; run the command again")
        return _Merging(writer, found, on_progress).run()


def _opened(sources: Sequence[Location], into: Location) -> tuple[Store, list[OpenCache], CacheIdentity]:
    """The target, the inputs, and the identity that the target has or will have: that of the first input."""
    target, stores = open_store(into), [open_store(source) for source in sources]
    check_arguments(stores, target)
    caches = [target, *stores] if has_cache(target) else stores
    identities = [(str(address_of(cache)), read_identity(cache)) for cache in caches]
    check_identities(identities)
    if target not in caches:
        check_place(target)
    return target, list(map(open_input, stores)), identities[0][1]


class _Merging:
    """The steps of one merge, each of which may be repeated. The caller holds the lock of the target."""

    def __init__(self, writer: CacheWriter, found: Survey, on_progress: OnProgress):
        self._writer, self._found, self._on_progress = writer, found, on_progress
        self._finder = RowFinder(found.inputs)

    def run(self) -> Merged:
        writer, found = self._writer, self._found
        record_withdrawn(found.withdrawn, Layout(writer.store))  # first: nobody may extract these videos any more
        for name, entry in found.quarantine.carried.items():
            writer.quarantine(name, entry)
        writer.append_units(found.added.videos, tuple(found.added.units))
        num_rows = sum(map(self._commit, (*found.filled, *found.added.units)))
        for name in found.quarantine.released:
            writer.release(name)
        labels = LabelSetsWriter(writer, found.label_sets, self._finder, found.inputs)
        num_logits = labels.write()
        self._copy_settings()
        writer.rebuild_manifest_if_stale()
        reader = writer.reader()
        return Merged(
            found.num_units, num_rows, num_logits, labels.without_logits(), len(reader.video_uids), reader.num_rows
        )

    def _commit(self, unit: Unit) -> int:
        """Commit a unit; returns its number of rows."""
        found = self._finder.find_all((segment.video_uid, segment.request_k) for segment in unit.segments)
        assert found is not None  # the survey has found every request of these units
        batch = self._finder.batch(found)
        self._writer.commit_frames(unit.name, batch, provenance_of(found))
        self._finder.close_others(found)
        self._on_progress(len(batch.jpegs))
        return len(batch.jpegs)

    def _copy_settings(self) -> None:
        """Those of the first input that has any, if the target has none."""
        stored = (StoredPath(cache.reader.store, CONFIG) for cache in self._found.inputs)
        settings = next((path for path in stored if path.exists()), None)
        if settings is not None and not StoredPath(self._writer.store, CONFIG).exists():
            self._writer.write_sidecar(CONFIG, settings.get().decode())
