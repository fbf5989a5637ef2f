"""Finds the training videos for model selection, and classes without clips for training, selection or evaluation."""

from collections import defaultdict
from collections.abc import Iterable

from embedonce.cache.errors import some
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.splits.assignment import selection_uids

MAX_NAMED = 5  # classes in a message


def selection_of(reader: CacheReader, clips: Iterable[ClipLabel]) -> frozenset[str]:
    """uids of the training videos held out for model selection; only clips with a frame in the cache count."""
    labels: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        if reader.shows(clip):
            labels[clip.video_uid].update(clip.all_labels)
    return selection_uids(labels, labels)


def missing_classes(labels: LabelSet, parts: dict[str, Iterable[ClipLabel]]) -> str | None:
    """One line that names the classes without clips in each part; None if every class has clips, or no clip a label.

    parts: "training", "selection", … -> clips.
    """
    present = {part: {label for clip in clips for label in clip.all_labels} for part, clips in parts.items()}
    if not any(present.values()):
        return None
    gaps = []
    for part, labels_of_part in present.items():
        missing = [name for label, name in enumerate(labels.classes) if label not in labels_of_part]
        if missing:
            gaps.append(f"no {part} clip: {some(missing, MAX_NAMED)}")
    return f"classes of label set {labels.name!r} with {'; with '.join(gaps)}" if gaps else None
