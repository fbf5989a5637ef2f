"""The clips of a label set as plain values, and the labels of single rows, from the clips that they are in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.schema import Segment
from embedonce.cache.timelines import VideoTimeline


@dataclass(frozen=True)
class RowLabels:
    """For each row: the class names of all clips that it is in, and their split.

    The split is None for a row in no clip, and like "train+val" for a row in clips of several splits.
    """

    labels: list[list[str]]
    splits: list[str | None]

    def part(self, rows: slice) -> "RowLabels":
        return RowLabels(self.labels[rows], self.splits[rows])


def labels_of_rows(
    parts: list[tuple[str, int, Segment]], timeline: VideoTimeline, clips: list[ClipLabel], classes: Sequence[str]
) -> RowLabels:
    """The labels of the rows of one video, in the order of parts: (unit, first row in its shard, segment)."""
    classes_of: list[set[int]] = []
    splits_of: list[set[str]] = []
    position: dict[str, int] = {}  # unit -> number of its row 0, counted over the rows of this video
    for unit, first, segment in parts:
        position[unit] = len(classes_of) - first
        classes_of += [set() for _ in range(segment.num_rows)]
        splits_of += [set() for _ in range(segment.num_rows)]
    rows = timeline.row + np.array([position.get(unit, 0) for unit in timeline.unit], np.int64)
    for clip in clips:
        for row in np.unique(rows[timeline.window(clip.start_sec, clip.end_sec)]):
            classes_of[row].update(clip.all_labels)
            splits_of[row].add(clip.split)
    labels = [[classes[number] for number in sorted(numbers)] for numbers in classes_of]
    return RowLabels(labels, ["+".join(sorted(splits)) or None for splits in splits_of])


def clip_values(labels: LabelSet) -> list[dict]:
    """All clips of a label set as JSON values, with names of classes."""
    return [
        {
            "video_uid": clip.video_uid,
            "clip_id": clip.clip_id,
            "start_sec": clip.start_sec,
            "end_sec": clip.end_sec,
            "labels": [labels.classes[number] for number in clip.all_labels],
            "split": clip.split,
        }
        for clip in labels.clips
    ]
