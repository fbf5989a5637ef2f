"""Which numbered frames have which labels in a cache, and which ones should."""

import math
from fractions import Fraction
from pathlib import Path

from embedonce.cache.store import open_reader
from tests.sources.ego4d.test_frames import numbers

SAMPLED = 10  # times per second
LabeledClip = tuple[str, str, tuple[str, ...], list[int]]  # video, split, classes, numbers of frames


def shown(rate: Fraction, start: str, end: str) -> list[int]:
    """The numbers of the frames shown at the sampled times in [start, end), in decimal seconds."""
    times = [Fraction(k, SAMPLED) for k in range(100)]
    return [math.floor(t * rate) for t in times if Fraction(start) <= t < Fraction(end)]


def labeled_clips(cache: Path, label_set: str) -> dict[str, LabeledClip]:
    """The clips of a label set, by their ids."""
    reader = open_reader(cache)
    labels = reader.label_set(label_set)
    return {
        clip.clip_id: (
            clip.video_uid,
            clip.split,
            tuple(labels.classes[label] for label in clip.all_labels),
            numbers(reader, clip.video_uid, clip.start_sec, clip.end_sec),
        )
        for clip in labels.clips
    }


def num_frames_of(*expected: dict[str, LabeledClip]) -> int:
    """How many different frames these clips have."""
    return len({(video, frame) for clips in expected for video, _, _, frames in clips.values() for frame in frames})
