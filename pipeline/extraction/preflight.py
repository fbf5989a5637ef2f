"""What is to be known before any model is loaded: what is new, what cannot be used, what it will take.

Decodes in processes of its own, like extraction; writes nothing.
"""

import shutil
from dataclasses import dataclass

from embedonce.cache import commit
from embedonce.cache.errors import StorageError
from embedonce.cache.store import has_cache, open_writer, read_identity
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.estimates import Estimate, Pending, estimate
from embedonce.pipeline.extraction.identity import check_settings
from embedonce.pipeline.extraction.planning import Scanned, known_uids, scan_new
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.duplicates import refuse_conflicts
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.video.container import check_decoder


@dataclass(frozen=True)
class PreflightReport:
    """What is known before a model is loaded: the source as the cache knows it, and what it will take.

    known: uids that need no scan; bad: those of them in quarantine, with the reason. scanned: the others.
    """

    source: Source
    known: set[str]
    bad: dict[str, str]
    scanned: Scanned
    estimate: Estimate


def run_preflight(config: ExtractConfig, source: Source, calibrated: bool = False) -> PreflightReport:
    """Everything that can be found wrong without a teacher.

    InputError where no video can be used, StorageError where the machine can read none of them.
    """
    commit.check_writable(config.cache_dir, is_cache=True)
    check_decoder(config.decoder)
    check_settings(config)
    known, bad, pending = set(), {}, Pending()
    if has_cache(config.cache_dir):
        writer = open_writer(config.cache_dir, read_identity(config.cache_dir))
        try:
            writer.check_plan()
            source = match_source(source, CachedVideos.of_writer(writer))
            known, pending = known_uids(writer, source), pending_of(writer)
            bad = {uid: facts["reason"] for uid, facts in writer.quarantined().items() if uid in known}
        finally:
            writer.close()
    else:
        source = match_source(source, CachedVideos())
    scanned = scan_new(source, known, config, config.num_decode_workers)
    if not scanned.scans and not known:
        error = StorageError if scanned.failures.keys() == scanned.passing else InputError
        raise error(_nothing_usable(source, scanned.failures))
    refuse_conflicts(source, {*scanned.scans, *known} - set(bad))
    return PreflightReport(source, known, bad, scanned, estimate(config, source, scanned, pending, calibrated))


def check_space(config: ExtractConfig, needed: int) -> None:
    """StorageError where the disk of the cache has less than these bytes free."""
    free = free_bytes(config)
    if needed > free:
        raise StorageError(
            f"{config.cache_dir} needs about {in_bytes(needed)} more and its disk has {in_bytes(free)} free; "
            "make space, or choose another --cache-dir, a lower --fps or fewer --views"
        )


def free_bytes(config: ExtractConfig) -> int:
    """On the disk that the cache is on, or will be."""
    return shutil.disk_usage(commit.existing_parent(config.cache_dir)).free


def pending_rows(writer: CacheWriter) -> int:
    """Rows that were planned and are in no committed unit."""
    done = writer.committed_units()
    return sum(len(s.frame_index) for unit in writer.units if unit.name not in done for s in unit.segments)


def pending_of(writer: CacheWriter) -> Pending:
    """Rows that are still to extract, and what a committed one takes."""
    rows = pending_rows(writer)
    records = writer.reader().records.values()
    committed = sum(record.num_rows for record in records)
    return Pending(rows, sum(record.num_bytes for record in records) / committed if committed else None)


def _nothing_usable(source: Source, failures: dict[str, str]) -> str:
    reasons = [f"{video.source}: {failures[video.uid]}" for video in source.videos if video.uid in failures]
    shown = "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")
    return f"none of the {len(source.videos)} videos under {source.root} can be decoded ({shown})"
