"""What is odd about the classes of a data set: no clip in a split, a single clip, names that are alike."""

from collections import Counter
from collections.abc import Iterable, Sequence

from embedonce.cache.errors import some
from embedonce.pipeline.console.printable import one_line
from embedonce.pipeline.naming.class_names import equivalent_names
from embedonce.pipeline.splits.class_table import LabeledClip

MAX_NAMED = 5  # classes in a line


def class_remarks(classes: Sequence[str], clips: Iterable[LabeledClip]) -> list[str]:
    """One line for each oddity, with the classes that have it, the first MAX_NAMED by name."""
    counts: dict[str, Counter] = {split: Counter() for split in ("train", "val", "test")}
    for clip in clips:
        counts[clip.split].update(clip.all_labels)
    total = sum(counts.values(), Counter())
    labels = range(len(classes))
    groups = {
        "no clip": [label for label in labels if not total[label]],
        "a single clip": [label for label in labels if total[label] == 1],
        "no training clip": [label for label in labels if total[label] and not counts["train"][label]],
        "no validation clip": [label for label in labels if total[label] and not counts["val"][label]],
    }
    lines = [
        f"classes with {what}: {len(found)} of {len(classes)} ({some((_name(classes[i]) for i in found), MAX_NAMED)})"
        for what, found in groups.items()
        if found
    ]
    alike = [" and ".join(map(_name, names)) for names in equivalent_names(classes)]
    if alike:
        lines.append(f"class names that differ only in case or in how words are joined: {some(alike, MAX_NAMED)}")
    return lines


def _name(name: str) -> str:
    return one_line(repr(name))
