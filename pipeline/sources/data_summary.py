"""A summary of a data folder or a cache: number of files, clips by class and split, remarks. Opens no video."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.errors import some
from embedonce.cache.store import open_reader
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.splits.class_remarks import class_remarks
from embedonce.pipeline.splits.class_table import class_table


@dataclass(frozen=True)
class DataSummary:
    """files: one line that counts the files of the folder, or "". class_tables: lines of text, a table per source,
    each followed by what is odd about its classes.
    """

    files: str
    class_tables: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        return [*([f"files: {self.files}"] if self.files else []), *self.class_tables, *self.notes]


def summarize(sources: Mapping[str, Source]) -> DataSummary:
    """The sources of one folder, by kind of annotation."""
    together = union(sources)
    tables: list[str] = []
    for kind, source in sources.items():
        unit = "videos" if source.has_whole_videos else "clips"
        if source.clips:
            tables += class_table(source.classes, source.clips, unit, kind)
            tables += class_remarks(source.classes, source.clips)
    return DataSummary(together.files, tuple(tables), (*_unusable(together), *together.notes))


def _unusable(source: Source) -> list[str]:
    files = [f"{name}: {reason}" for name, reason in source.rejected]
    return [f"videos that cannot be used: {len(files)} ({some(files)})"] if files else []


def cache_tables(cache_dir: Path | str) -> list[str]:
    """Lines of text: a table of clips by class and split for each label set of a cache."""
    reader = open_reader(cache_dir)
    lines: list[str] = []
    for name in reader.label_sets():
        labels = reader.label_set(name)
        if labels.clips:
            lines += class_table(labels.classes, labels.clips, title=f"label set {name}")
    return lines
