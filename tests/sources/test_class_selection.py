"""The most frequent classes of a source are kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.class_selection import keep_frequent_classes, with_class_names
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source


def labeled(counts: dict[str, tuple[int, int]]) -> Source:
    """counts: class -> (train clips, val clips)."""
    classes, clips = tuple(counts), []
    for label, numbers in enumerate(counts.values()):
        for split, number in zip(("train", "val"), numbers, strict=True):
            clips += [Clip(f"{label}{split}{i}", f"{split}", 0.0, 1.0, label, split) for i in range(number)]
    return Source(Path("."), "folder", (), tuple(clips), classes)


def test_the_most_frequent_classes_are_counted_on_training_clips():
    source = labeled({"d": (2, 0), "rare": (1, 50), "b": (2, 1), "a": (2, 1)})
    kept = keep_frequent_classes(source, 2)
    assert kept.classes == ("b", "a")  # ties by name, in their old order
    names = [kept.classes[c.label] if c.label != UNLABELED else None for c in kept.clips]
    old = [source.classes[c.label] for c in source.clips]
    assert names == [name if name in ("a", "b") else None for name in old]
    assert [replace(c, label=0) for c in kept.clips] == [replace(c, label=0) for c in source.clips]
    assert "2 classes were dropped" in kept.notes[-1]
    assert "53 clips" in kept.notes[-1]


def test_keeping_all_classes_changes_nothing():
    source = labeled({"a": (1, 0), "b": (1, 0)})
    assert keep_frequent_classes(source, 2) is source


@pytest.mark.parametrize("number", [0, 3])
def test_a_number_of_classes_out_of_range_is_refused(number):
    with pytest.raises(InputError, match=f"--num-actions {number} .*2 classes"):
        keep_frequent_classes(labeled({"a": (1, 0), "b": (1, 0)}), number)


def test_of_several_labels_those_of_dropped_classes_are_dropped():
    clips = [
        Clip(str(i), "v", 0.0, 1.0, UNLABELED, "train", labels=labels) for i, labels in enumerate([(0, 2), (2,), (1,)])
    ]
    kept = keep_frequent_classes(Source(Path("."), "folder", (), tuple(clips), ("a", "b", "c")), 2)
    assert kept.classes == ("a", "c") and [clip.labels for clip in kept.clips] == [(0, 1), (1,), ()]
    assert "their 1 clips are now unlabeled" in kept.notes[-1] and kept.is_multi_label
    named = with_class_names(kept, ("x", "y"))
    assert not named.is_multi_label and all(clip.all_labels == () for clip in named.clips)
