"""Checks before any model is loaded: which videos are new, which cannot be used, and what extraction will need.

Writes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from embedonce.cache.errors import StorageError
from embedonce.cache.state import CacheState, read_state
from embedonce.cache.store import has_cache
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.estimates import Estimate, Pending, embed_dim, estimate
from embedonce.pipeline.extraction.identity import check_settings
from embedonce.pipeline.extraction.planning import ScanResults, known_uids, scan_new
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.labeling.space import RowSize, label_bytes
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


def run_preflight(
    config: ExtractConfig, source: Source, requests: Collection[LabelSetRequest] = (), calibrated: bool = False
) -> PreflightReport:
    """Find everything that is wrong without a teacher, also while another process writes the cache.

    requests: the label sets that will be written. calibrated: as in estimate(). InputError if no video can be used,
    StorageError if this machine cannot read any of them.
    """
    check_decoder(config.decoder)
    check_settings(config)
    known: set[str] = set()
    quarantined: dict[str, str] = {}
    pending, state = Pending(), None
    if has_cache(config.cache_dir):
        state = read_state(config.cache_dir)
        source = match_source(source, CachedVideos.of_state(state))
        known, pending = known_uids(state, source), pending_of(state)
        quarantined = {uid: record.reason for uid, record in state.quarantined.items() if uid in known}
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
    size = RowSize(config.backend, 1 + config.views, embed_dim(config))
    labels = label_bytes(requests, needed.frames, size, state.reader if state else None)
    return PreflightReport(source, known, quarantined, scanned, replace(needed, label_bytes=labels))


def pending_of(state: CacheState) -> Pending:
    """Rows that are planned and not committed, and the size of a committed one."""
    records = state.reader.records
    units = [unit for name, unit in state.units.items() if name not in records]
    rows = sum(len(segment.frame_index) for unit in units for segment in unit.segments)
    num_bytes, committed = sum(record.num_bytes for record in records.values()), state.reader.num_rows
    return Pending(rows, num_bytes / committed if committed else None)


def _no_usable_video(source: Source, failures: dict[str, str]) -> str:
    reasons = [f"{video.source}: {failures[video.uid]}" for video in source.videos if video.uid in failures]
    shown = "; ".join(reasons[:REASONS_SHOWN]) + ("; …" if len(reasons) > REASONS_SHOWN else "")
    return f"none of the {len(source.videos)} videos under {source.root} can be decoded ({shown})"
