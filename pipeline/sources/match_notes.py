"""Remarks for the user about files that were moved, replaced or deleted since the cache planned them."""

from collections.abc import Collection, Iterator, Mapping

from embedonce.cache.errors import some
from embedonce.cache.plan import PlannedVideo
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.source import Video


def change_notes(matched: Collection[Video], planned: Mapping[str, PlannedVideo]) -> Iterator[str]:
    """Which files were moved or replaced. planned: the videos of the cache, by uid."""
    moved = [v for v in matched if v.uid in planned and planned[v.uid].source != v.source]
    replaced = [v for v in matched if v.uid not in planned and v.replaces]
    if moved:
        pairs = [f"{planned[v.uid].source} -> {v.source}" for v in moved]
        yield f"files that were moved since they were planned and keep their frames: {len(moved)} ({some(pairs)})"
    if replaced:
        has_rates = any(isinstance(v.path, ImageSequence) and v.path.rate for v in replaced)
        what = "files or folders whose content or frame rate changed" if has_rates else "files whose content changed"
        yield (
            f"{what} since they were planned: extract-teacher extracts them as new videos, and the frames of the old "
            f"ones stay without labels: {len(replaced)} ({some([v.source for v in replaced])})"
        )


def missing_notes(
    missing: Mapping[str, str], now_elsewhere: Mapping[str, Video], planned: Mapping[str, PlannedVideo]
) -> Iterator[str]:
    """Which clips of missing files are kept, and which are not.

    missing: uid -> uid in the cache. now_elsewhere: uid -> the file that has its content now.
    """
    kept = [planned[cached].source for uid, cached in missing.items() if cached in planned and uid not in now_elsewhere]
    if kept:
        what = "files that are missing or not read, whose clips are kept with the frames in the cache"
        yield f"{what}: {len(kept)} ({some(kept)})"
    if now_elsewhere:
        pairs = [f"{planned[missing[uid]].source} is {video.source} now" for uid, video in now_elsewhere.items()]
        yield (
            "files that are missing, whose clips are left out, because other files that the data name have their "
            f"content: {len(pairs)} ({some(pairs)})"
        )
