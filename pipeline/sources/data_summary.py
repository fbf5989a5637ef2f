"""What a data folder was taken to be, in a few lines: files, classes by split, what is odd. Opens no video."""

from pathlib import Path

from embedonce.cache.store import open_reader
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.splits.class_table import class_table


def data_lines(sources: dict[str, Source]) -> list[str]:
    """Lines on the sources of one folder, by kind of annotation."""
    both = union(sources)
    lines = [f"files: {both.files}"] if both.files else []
    for kind, source in sources.items():
        unit = "videos" if source.kind == "folder" else "clips"
        if source.clips:
            lines += class_table(source.classes, source.clips, unit, kind)
    return [*lines, *both.notes]


def cache_tables(cache_dir: Path) -> list[str]:
    """A table for each label set of a cache."""
    reader = open_reader(cache_dir)
    lines = []
    for name in reader.label_sets():
        labels = reader.label_set(name)
        if labels.clips:
            lines += class_table(labels.classes, labels.clips, title=f"label set {name}")
    return lines
