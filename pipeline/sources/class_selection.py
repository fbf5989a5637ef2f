"""Changes the classes of a source: keep the most frequent ones, rename them, or replace them with a file's names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder.class_files import read_class_map
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source


def keep_frequent_classes(source: Source, num_classes: int) -> Source:
    """Keep the num_classes classes with the most training clips; clips of the other classes become UNLABELED.

    Ties are broken by name; the kept classes stay in their order. InputError if the source has fewer classes.
    """
    if not 1 <= num_classes <= len(source.classes):
        raise InputError(
            f"--num-actions {num_classes} does not fit data of {len(source.classes)} classes: "
            f"give a number from 1 to {len(source.classes)}, or leave the option out to use all classes"
        )
    if num_classes == len(source.classes):
        return source
    counts = Counter(label for clip in source.clips if clip.split == "train" for label in clip.all_labels)
    by_frequency = sorted(range(len(source.classes)), key=lambda label: (-counts[label], source.classes[label]))
    kept = sorted(by_frequency[:num_classes])
    new_label = {old: new for new, old in enumerate(kept)}
    clips = tuple(_with_labels(clip, new_label) for clip in source.clips)
    before, after = (sum(bool(clip.all_labels) for clip in some) for some in (source.clips, clips))
    note = (
        f"kept the {num_classes} most frequent classes: {len(source.classes) - num_classes} classes were dropped, "
        f"and their {before - after} clips are now unlabeled"
    )
    classes = tuple(source.classes[label] for label in kept)
    return replace(source, clips=clips, classes=classes, notes=(*source.notes, note))


def _with_labels(clip: Clip, new_label: Mapping[int, int]) -> Clip:
    """The clip with these new numbers of its labels, and without the labels that have none."""
    if clip.labels is None:
        return replace(clip, label=new_label.get(clip.label, UNLABELED))
    return replace(clip, labels=tuple(new_label[label] for label in clip.labels if label in new_label))


def keep_frequent(sources: Mapping[str, Source], num_classes: int | None) -> dict[str, Source]:
    """keep_frequent_classes() of each source, by kind of annotation; unchanged if num_classes is None."""
    if num_classes is None:
        return dict(sources)
    kept = {}
    for kind, source in sources.items():
        try:
            kept[kind] = keep_frequent_classes(source, num_classes)
        except InputError as error:
            raise InputError(f"{kind}: {error}" if kind else str(error)) from error
    return kept


def with_class_names(source: Source, names: tuple[str, ...]) -> Source:
    """The same clips, unlabeled, with these class names for zero-shot logits."""
    clips = tuple(replace(clip, label=UNLABELED, labels=None) for clip in source.clips)
    first = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    note = f"{len(names)} class names were read from a file ({first}): the clips are unlabeled"
    return replace(source, clips=clips, classes=names, notes=(*source.notes, note), named_by="file")


def renamed(source: Source, class_names: Path | None) -> Source:
    """The same clips and labels, with class names from a file; unchanged if class_names is None.

    InputError as in read_class_map().
    """
    if class_names is None:
        return source
    names, notes = read_class_map(class_names, source.classes)
    return replace(source, classes=names, notes=(*source.notes, *notes), named_by="map")
