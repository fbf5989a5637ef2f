"""Moved windows of clips: annotators disagree about where an action begins, so training may see it begin elsewhere."""

import numpy as np

from embedonce.cache.labels import ClipLabel
from embedonce.cache.timelines import VideoTimeline


def moved_rows(timeline: VideoTimeline, clip: ClipLabel, share: float, place: tuple[int, int, int]) -> range:
    """The rows of a clip whose window is moved by at most `share` of its length: positions on the timeline.

    place: (seed, epoch, index), which decide how far it is moved. There are as many rows as without moving. Where the
    cache has no frames, as before the beginning of a video, it is moved less far.
    """
    draw = np.random.default_rng((*place, 3)).uniform(-1, 1)
    return _moved(timeline, clip, draw * share)


def reached_rows(timeline: VideoTimeline, clip: ClipLabel, share: float) -> range:
    """All rows that moved_rows() may return for any draw."""
    return range(_moved(timeline, clip, -share).start, _moved(timeline, clip, share).stop)


def _moved(timeline: VideoTimeline, clip: ClipLabel, share: float) -> range:
    """The rows of a clip whose window is moved by exactly this share of its length, or less.

    As many rows enter at one end as leave at the other. All are in the window or in the moved one: gaps between cached
    frames are not crossed.
    """
    shift = share * (clip.end_sec - clip.start_sec)
    rows = timeline.window(clip.start_sec, clip.end_sec)
    moved = timeline.window(clip.start_sec + shift, clip.end_sec + shift)
    ends = moved.start - rows.start, moved.stop - rows.stop  # both positive if moved forward, else both negative
    count = min(ends, key=abs)
    return range(rows.start + count, rows.stop + count)
