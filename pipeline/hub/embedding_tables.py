"""What is shared of a cache without its frames: embeddings as Parquet files, and label sets as JSON. No pixels."""

import json
import re
from pathlib import Path

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.embedding_files.export import write_parquet
from embedonce.pipeline.embedding_files.row_labels import clip_values
from embedonce.pipeline.embedding_files.tables import OnRows

_TABLE_FILE = re.compile(
    r"(?:embeddings/[A-Za-z0-9][\w-]{0,118}\.parquet|label_sets/[A-Za-z0-9][\w-]{0,118}\.json)", re.ASCII
)


def is_table_file(name: str) -> bool:
    """Whether a share without frames may have a file of this relative name."""
    return _TABLE_FILE.fullmatch(name) is not None


def write_tables(reader: CacheReader, folder: Path, on_rows: OnRows = lambda count: None) -> list[str]:
    """Write the tables of view 0 of all teachers that embedded all rows, and all label sets; returns their names."""
    whole = [name for name in reader.teachers.names() if not reader.teachers.lacking(name)]
    names = []
    for teacher in (FIRST, *whole):
        names.append(f"embeddings/{teacher}.parquet")
        write_parquet(reader, folder / names[-1], teacher=teacher, overwrite=True, on_rows=on_rows)
    (folder / "label_sets").mkdir(exist_ok=True)
    for name in reader.label_sets():
        names.append(f"label_sets/{name}.json")
        (folder / names[-1]).write_text(json.dumps(_label_set(reader.label_set(name)), indent=0), "utf-8")
    return names


def _label_set(labels: LabelSet) -> dict:
    facts = {"name": labels.name, "classes": list(labels.classes), "multi_label": labels.multi_label}
    return {**facts, "clips": clip_values(labels)}
