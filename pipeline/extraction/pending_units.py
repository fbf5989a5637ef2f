"""Which planned units a run extracts."""

import logging
from collections.abc import Set

from embedonce.cache.plan import Unit
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.quarantine import quarantine_absent

log = logging.getLogger(__name__)


def pending_units(writer: CacheWriter, existing: Set[str], chosen: frozenset[str] | None = None) -> tuple[Unit, ...]:
    """The units to extract: pending ones with at least one video that exists. Their missing videos are quarantined.

    existing: uids of the videos that exist. chosen: uids of which this run extracts units, and other processes those of
    others; a unit of several videos is that of the first one that exists. None for all.
    """
    committed, quarantined = writer.committed_units(), set(writer.quarantined())
    pending = [unit for unit in writer.units if unit.name not in committed]
    if chosen is not None:
        pending = [unit for unit in pending if _first_existing(unit, existing) in chosen]
    usable = {unit.name: {segment.video_uid for segment in unit.segments} - quarantined for unit in pending}
    to_extract = tuple(unit for unit in pending if not usable[unit.name] or usable[unit.name] & existing)
    absent = {uid for unit in to_extract for uid in usable[unit.name] - existing}
    for uid in sorted(absent):
        quarantine_absent(writer, uid)
    if absent:
        log.warning("%d planned videos are missing: the shards they share are finished without them", len(absent))
    if len(pending) > len(to_extract):
        log.info("%d units wait for missing videos", len(pending) - len(to_extract))
    if committed and to_extract:
        log.info("resuming: %d units committed, %d to do", len(committed), len(to_extract))
    return to_extract


def _first_existing(unit: Unit, existing: Set[str]) -> str | None:
    return next((segment.video_uid for segment in unit.segments if segment.video_uid in existing), None)
