"""Checks before any model is loaded: which videos are new, which cannot be used, and what extraction will need.

Writes nothing.
"""

from dataclasses import dataclass

from embedonce.cache.errors import StorageError
from embedonce.cache.store import has_cache, open_writer, read_identity
from embedonce.cache.stores.registry import open_store
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.estimates import Estimate, Pending, estimate
from embedonce.pipeline.extraction.identity import check_settings
from embedonce.pipeline.extraction.planning import ScanResults, known_uids, scan_new
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.duplicates import refuse_conflicts
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.video.container import check_decoder

REASONS_SHOWN = 3


@dataclass(frozen=True)
class PreflightReport:
    """What is known before a model is loaded.

    source: with the uids that its videos have in the cache. known: uids that need no scan. quarantined: those of them
    that cannot be used, with the reason. scanned: all others. estimate: what extraction will need.
    """

    source: Source
    known: set[str]
    quarantined: dict[str, str]
    scanned: ScanResults
    estimate: Estimate


def run_preflight(config: ExtractConfig, source: Source, calibrated: bool = False) -> PreflightReport:
    """Find everything that is wrong without a teacher. calibrated: as in estimate().

    InputError if no video can be used, StorageError if this machine cannot read any of them.
    """
    open_store(config.cache_dir).check_writable()
    check_decoder(config.decoder)
    check_settings(config)
    known: set[str] = set()
    quarantined: dict[str, str] = {}
    pending = Pending()
    if has_cache(config.cache_dir):
        writer = open_writer(config.cache_dir, read_identity(config.cache_dir))
        try:
            writer.check_plan()
            source = match_source(source, CachedVideos.of_writer(writer))
            known, pending = known_uids(writer, source), pending_of(writer)
            quarantined = {uid: record.reason for uid, record in writer.quarantined().items() if uid in known}
        finally:
            writer.close()
    else:
        source = match_source(source, CachedVideos())
    scanned = scan_new(source, known, config, config.num_decode_workers)
    if not scanned.scans and not known:
        if source.withdrawn and not source.videos:
            raise InputError(f"all videos under {source.root} were removed from this cache for good: nothing is left")
        error = StorageError if scanned.failures.keys() == scanned.temporary else InputError
        raise error(_no_usable_video(source, scanned.failures))
    refuse_conflicts(source, {*scanned.scans, *known} - set(quarantined))
    needed = estimate(config, source, scanned, pending, calibrated)
    return PreflightReport(source, known, quarantined, scanned, needed)


def check_space(config: ExtractConfig, needed: int) -> None:
    """StorageError if the disk of the cache has fewer free bytes than needed."""
    free = free_bytes(config)
    if free is not None and needed > free:
        raise StorageError(
            f"{config.cache_dir} needs about {in_bytes(needed)} more and its disk has {in_bytes(free)} free; "
            "make space, or choose another --cache-dir, a lower --fps or fewer --views"
        )


def free_bytes(config: ExtractConfig) -> int | None:
    """Free bytes where the cache is, or will be created; None if there is no known limit."""
    return open_store(config.cache_dir).free_bytes()


def pending_rows(writer: CacheWriter) -> int:
    """The number of planned rows that are not in a committed unit."""
    committed = writer.committed_units()
    return sum(len(s.frame_index) for unit in writer.units if unit.name not in committed for s in unit.segments)


def pending_of(writer: CacheWriter) -> Pending:
    """Rows that are planned and not committed, and the size of a committed one."""
    rows = pending_rows(writer)
    records = writer.reader().records.values()
    committed = sum(record.num_rows for record in records)
    return Pending(rows, sum(record.num_bytes for record in records) / committed if committed else None)


def _no_usable_video(source: Source, failures: dict[str, str]) -> str:
    reasons = [f"{video.source}: {failures[video.uid]}" for video in source.videos if video.uid in failures]
    shown = "; ".join(reasons[:REASONS_SHOWN]) + ("; …" if len(reasons) > REASONS_SHOWN else "")
    return f"none of the {len(source.videos)} videos under {source.root} can be decoded ({shown})"
