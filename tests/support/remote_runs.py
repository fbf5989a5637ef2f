"""Runs that read remote files, within one test process: each begins without connections, outages and downloads."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.cache.stores.retries import RetryPolicy
from embedonce.pipeline.remote_files import addresses, remote_folder, retries, spool
from tests.commands.test_cli import call
from tests.support.fake_teacher import FakeTeacher

QUICK = RetryPolicy(attempts=6, total_sec=30, first_wait_sec=0.001)


@contextlib.contextmanager
def new_run(folder: Path, max_bytes: int = 1 << 30) -> Iterator[spool.Spool]:
    """A run whose temporary copies are in this new folder, and which does not wait long before it tries again."""
    folder.mkdir()
    place = spool.Spool(folder, max_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retries, "_failed_at", {})
        patch.setattr(retries, "PATIENT", QUICK)
        patch.setattr(remote_folder, "spool_of_run", lambda: place)
        addresses.file_system_of.cache_clear()
        yield place
    addresses.file_system_of.cache_clear()


class Teacher(FakeTeacher):
    """A fake teacher that a command can use, whose embeddings do not depend on what else is in a batch."""

    def embed(self, crops):
        return np.concatenate([FakeTeacher.embed(self, crop[None]) for crop in crops])

    def drop_text_tower(self):
        self.class_text = None


def extract(data_dir, cache_dir: Path, *options, code: int = 0) -> str:
    """The output of extract-teacher, which ends with this code."""
    words = ["--data-dir", data_dir, "--cache-dir", cache_dir, "--decode-workers", "2", "--fps", "10", "--views", "1"]
    return call("extract-teacher", *words, *options, code=code)


def rows(cache_dir: Path) -> dict[str, list]:
    """All crops and embeddings of a cache, by unit, and its planned uids."""
    reader, found = open_reader(cache_dir), {}
    for unit, record in reader.records.items():
        frames = reader.frames(unit)
        found[unit] = [frames.jpeg(row) for row in range(record.num_rows)]
        found[f"{unit} embeddings"] = [frames.embeddings(0, record.num_rows, view).tobytes() for view in (0, 1)]
    return found | {"uids": [reader.planned_uids()]}


def documents(cache_dir: Path) -> dict[str, object]:
    """All files of a cache, as JSON or by digest, but for its settings and when its videos were last modified."""
    found: dict[str, object] = {}
    paths = (path for path in cache_dir.rglob("*.*") if path.is_file() and path.name != "file_fingerprints.json")
    for path in sorted(path for path in paths if path.suffix != ".yaml"):
        data = path.read_bytes()
        value = _without_times(json.loads(data)) if path.suffix == ".json" else hashlib.sha256(data).hexdigest()
        found[path.relative_to(cache_dir).as_posix()] = value
    return found


def _without_times(value):
    if isinstance(value, list):
        return [_without_times(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _without_times(entry) for key, entry in value.items() if key not in ("modified_ns", "checksum")}
    return value
