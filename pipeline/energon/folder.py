"""A folder that Megatron-Energon opens: links to the shards of a cache, their indexes, and `.nv-meta`.

The cache itself is not written to: a video that is removed from it leaves no trace of its own here but its keys, and
its shard's link is broken.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.store import open_reader, refuse_nesting
from embedonce.pipeline.energon.splits import EnergonSplits, ShardRows, assign_splits, video_splits
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.runtimes.requirements import ENERGON, as_pipeline_error, require

BACKEND = "webdataset"
META = ".nv-meta"
# Samples are dictionaries of the members `jpg`, `emb.npy` and `json`; a user's cooker makes of them what a model needs.
DATASET = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
MAX_WORKERS = 8


@dataclass(frozen=True)
class EnergonFolder:
    """shards: number of them in each split. num_rows: rows that are read; num_excluded: rows that are not."""

    path: Path
    shards: dict[str, int]
    num_rows: int
    num_excluded: int


def prepare(cache_dir: Path | str, output_dir: Path, label_set: str | None) -> EnergonFolder:
    """Make the folder. label_set: whose splits are used; None: all rows are `train`.

    InputError if the cache cannot be linked to or the folder exists, NotACacheError if the folder is inside a cache;
    PipelineError if Megatron-Energon fails. Nothing is left then.
    """
    require(ENERGON, "prepare-energon")
    with contextlib.closing(open_reader(cache_dir)) as reader:
        _check(reader, cache_dir, output_dir)
        splits = video_splits(reader.label_set(label_set).clips) if label_set else None
        records = [record for _, record in sorted(reader.records.items()) if record.num_rows]
        assigned = assign_splits(map(_rows, records), splits)
        if not assigned.shards:
            raise InputError(f"{cache_dir}: label set {label_set!r} has no clip of a frame in this cache")
        output_dir.absolute().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}.", dir=output_dir.absolute().parent))
        try:
            _write(made, reader, [record.unit for record in records], assigned)
            made.chmod(0o755)
            os.rename(made, output_dir)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    num_rows = sum(record.num_rows for record in records)
    shards = {split: len(names) for split, names in assigned.shards.items()}
    used = {name for names in assigned.shards.values() for name in names}
    unused = sum(record.num_rows for record in records if _name(record.unit) not in used)
    lacking = len(assigned.excluded) + unused
    return EnergonFolder(output_dir, shards, num_rows - lacking, lacking)


def _check(reader: CacheReader, cache_dir: Path | str, output_dir: Path) -> None:
    if not isinstance(reader.cache_dir, Path):
        raise InputError(f"{cache_dir} is not a local folder; convert-cache copies it to one")
    if reader.identity.backend != BACKEND:
        advice = f"which Megatron-Energon cannot read; convert-cache --backend {BACKEND} makes a cache that it can read"
        raise InputError(f"{cache_dir} has {reader.identity.backend} shards, {advice}")
    if not reader.num_rows:
        raise InputError(f"{cache_dir} has no frames yet; run extract-teacher first")
    refuse_nesting(output_dir)
    if os.path.lexists(output_dir):
        raise InputError(f"{output_dir} exists; delete it, or choose another --output-dir")


def _rows(record: Record) -> ShardRows:
    return ShardRows(_name(record.unit), {segment.video_uid: segment.keys for segment in record.segments})


def _name(unit: str) -> str:
    return f"frames/{unit}.tar"


def _write(folder: Path, reader: CacheReader, units: list[str], assigned: EnergonSplits) -> None:
    shards = Layout.at(reader.cache_dir).frame_paths().shards
    (folder / "frames").mkdir()
    for unit in units:
        target = Path(reader.cache_dir).resolve() / (shards / f"{unit}.tar").relative
        (folder / _name(unit)).symlink_to(target)
    names = [name for part in assigned.shards.values() for name in part]
    _index(folder, names)
    (folder / META / "dataset.yaml").write_text(yaml.safe_dump(DATASET, sort_keys=False))
    (folder / META / "split.yaml").write_text(yaml.safe_dump(assigned.document(), sort_keys=False))


def _index(folder: Path, names: list[str]) -> None:
    """Let the library count and index the samples. Its own split.yaml is replaced afterwards."""
    with as_pipeline_error("Megatron-Energon cannot index the shards", "check that verify-cache finds nothing"):
        from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

        with contextlib.redirect_stdout(sys.stderr):
            WebdatasetPreparator.prepare_dataset(
                folder, names, split_parts_ratio=[("train", 1.0)], workers=min(len(names), MAX_WORKERS)
            )
