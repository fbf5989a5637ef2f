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
from embedonce.pipeline.extraction.planning import known_uids
from embedonce.pipeline.extraction.quarantine import file_state
from embedonce.pipeline.extraction.scanning import ScanResults, scan_videos
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.waves import Waves, cut_waves
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.labeling.space import RowSize, label_bytes
from embedonce.pipeline.sources.duplicates import conflicting_uids, refuse_conflicts
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Source, Video, windows_by_video
from embedonce.pipeline.video.container import check_decoder

REASONS_SHOWN = 3


@dataclass(frozen=True)
class PreflightReport:
    """What is known before a model is loaded.

    source: with the uids that its videos have in the cache. known: uids that need no scan. quarantined: those of them
    that cannot be used, with the reason. scanned: new videos. unscanned: all others, which are scanned while the first
    ones are extracted. estimate: what extraction will need, also for the videos that are not scanned yet.
    """

    source: Source
    known: set[str]
    quarantined: dict[str, str]
    scanned: ScanResults
    estimate: Estimate
    unscanned: Waves = ()


def run_preflight(
    config: ExtractConfig,
    source: Source,
    requests: Collection[LabelSetRequest] = (),
    calibrated: bool = False,
    in_waves: bool = False,
    chosen: frozenset[str] | None = None,
) -> PreflightReport:
    """Find everything that is wrong without a teacher, also while another process writes the cache.

    requests: the label sets that will be written. calibrated: as in estimate(). in_waves: do not scan all of many
    videos, but only until one of them can be used. chosen: uids of the only videos to extract, which may all be
    unusable; None for all. InputError if no video can be used, StorageError if this machine cannot read any of them.
    """
    check_decoder(config.decoder)
    check_settings(config)
    state = read_state(config.cache_dir) if has_cache(config.cache_dir) else None
    source = match_source(source, CachedVideos() if state is None else CachedVideos.of_state(state))
    known = set() if state is None else known_uids(state, source)
    conflicting = conflicting_uids(source) - known
    new = [v for v in source.videos if v.uid not in known and (chosen is None or v.uid in chosen | conflicting)]
    first = conflicting | _partly_planned(state)
    waves = cut_waves(new, first, config.num_decode_workers) if in_waves else (tuple(new),)
    scanned, waves = _scan_until_one_is_usable(config, source, waves, bool(known) or chosen is not None)
    if not scanned.scans and not known and chosen is None:
        if source.withdrawn and not source.videos:
            raise InputError(f"all videos under {source.root} were removed from this cache for good: nothing is left")
        error = StorageError if scanned.failures.keys() == scanned.temporary else InputError
        raise error(_no_usable_video(source, scanned.failures))
    quarantined = {} if state is None else {uid: r.reason for uid, r in state.quarantined.items() if uid in known}
    refuse_conflicts(source, {*scanned.scans, *known} - set(quarantined))
    scanned = scanned if chosen is None else scanned.only(chosen)
    pending = Pending() if state is None else pending_of(state, chosen)
    needed = estimate(config, source, scanned, pending, calibrated, _share(new, waves))
    size = RowSize(config.backend, 1 + config.views, embed_dim(config))
    labels = label_bytes(requests, needed.frames, size, state.reader if state else None)
    return PreflightReport(source, known, quarantined, scanned, replace(needed, label_bytes=labels), waves)


def _partly_planned(state: CacheState | None) -> frozenset[str]:
    """Videos whose other frames may be pending: all of them are decoded at once, so they are planned before that."""
    return frozenset() if state is None else state.incomplete_uids()


def _scan_until_one_is_usable(
    config: ExtractConfig, source: Source, waves: Waves, is_any_usable: bool
) -> tuple[ScanResults, Waves]:
    """Scan the first wave, and further ones until a video can be used. Returns the results and the other waves."""
    windows, scanned = windows_by_video(source), ScanResults({}, {})
    is_first = True
    while waves and (is_first or not (scanned.scans or is_any_usable)):
        scanned |= scan_videos(waves[0], windows, config)
        waves, is_first = waves[1:], False
    return scanned, waves


def _share(new: list[Video], unscanned: Waves) -> float:
    """The part of the bytes of the new videos that is scanned, above 0."""
    if not any(unscanned):
        return 1.0
    left = sum(file_state(video)[0] for wave in unscanned for video in wave)
    total = sum(file_state(video)[0] for video in new)
    return max(1 - left / max(total, 1), 1 / len(new))


def pending_of(state: CacheState, chosen: frozenset[str] | None = None) -> Pending:
    """Rows that are planned and not committed, and the size of a committed one. chosen: as in run_preflight()."""
    records = state.reader.records
    units = [unit for name, unit in state.units.items() if name not in records]
    segments = (segment for unit in units for segment in unit.segments)
    rows = sum(len(segment.frame_index) for segment in segments if chosen is None or segment.video_uid in chosen)
    num_bytes, committed = sum(record.num_bytes for record in records.values()), state.reader.num_rows
    return Pending(rows, num_bytes / committed if committed else None)


def _no_usable_video(source: Source, failures: dict[str, str]) -> str:
    reasons = [f"{video.source}: {failures[video.uid]}" for video in source.videos if video.uid in failures]
    shown = "; ".join(reasons[:REASONS_SHOWN]) + ("; …" if len(reasons) > REASONS_SHOWN else "")
    return f"none of the {len(source.videos)} videos under {source.root} can be decoded ({shown})"
