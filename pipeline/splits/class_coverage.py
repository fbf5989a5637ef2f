"""Which training clips choose the best student, and which classes have no clips to learn, choose or judge by.

Knows clips, label sets and readers; runs nothing.
"""

from collections import defaultdict
from collections.abc import Iterable

from embedonce.cache.errors import some
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.splits.assignment import selection_uids

SHOWN = 5  # classes in a message


def selection_of(reader: CacheReader, clips: Iterable[ClipLabel]) -> frozenset[str]:
    """The videos of training clips that are kept for selection: of those clips that have a frame in the cache."""
    labels = defaultdict(set)
    for clip in clips:
        if reader.shows(clip):
            labels[clip.video_uid].add(clip.label)
    return selection_uids(labels, labels)


def missing_classes(labels: LabelSet, parts: dict[str, Iterable[ClipLabel]]) -> str | None:
    """One line that names the classes without a clip in each of these parts; None where there is none to name.

    parts: "training", "selection", … -> clips. Where no clip of any part has a label there is nothing to say.
    """
    found = {part: {clip.label for clip in clips if clip.label >= 0} for part, clips in parts.items()}
    if not any(found.values()):
        return None
    told = []
    for part, there in found.items():
        lacking = [name for label, name in enumerate(labels.classes) if label not in there]
        if lacking:
            told.append(f"no {part} clip: {some(lacking, SHOWN)}")
    return f"classes of label set {labels.name!r} with {'; with '.join(told)}" if told else None
