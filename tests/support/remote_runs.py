"""Runs that read remote files, within one test process: each begins without connections, outages and downloads."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedonce.cache.stores.retries import RetryPolicy
from embedonce.pipeline.remote_files import addresses, remote_folder, retries, spool

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
