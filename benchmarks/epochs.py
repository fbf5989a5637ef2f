"""What an epoch of loading costs besides its samples: shards hashed and seconds, with loader processes that persist.

The comparison is with new processes for every epoch, each of which hashes every shard that it reads.
"""

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from embedonce.cache.ledger import temporary_ledger
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.cache.stores.local import LocalStore
from embedonce.pipeline.clips.loader import Workers, batches
from tests.support.counted_calls import CountedCalls

NUM_WORKERS = (0, 2, 4)
EPOCHS = 3
WINDOW = 8  # rows of an item
BATCH = 8


class Windows(Dataset):
    """Stored JPEGs and embeddings of WINDOW consecutive rows, undecoded: their total length, and the embeddings."""

    def __init__(self, reader: CacheReader):
        self._reader = reader
        self._places = [(unit, row) for unit, one in reader.records.items() for row in range(0, one.num_rows, WINDOW)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        unit, first = self._places[index]
        shard = self._reader.frames(unit)
        rows = range(first, min(first + WINDOW, self._reader.records[unit].num_rows))
        num_bytes = sum(len(shard.jpeg(row)) for row in rows)
        return {"bytes": torch.tensor(num_bytes), "embeddings": torch.from_numpy(shard.embeddings(first, rows.stop, 0))}


def epoch_costs(cache_dir: Path) -> dict:
    """Shards hashed in the first epoch and in each later one, and seconds of both, by way and number of processes."""
    digest, figures = LocalStore.digest, {}
    with tempfile.TemporaryDirectory() as folder:
        counted = CountedCalls(Path(folder) / "digests")
        LocalStore.digest = counted.counting(digest, lambda store, name: name)  # type: ignore[method-assign]
        try:
            for num_workers, persist in itertools.product(NUM_WORKERS, (False, True)):
                name = f"{'persistent' if persist else 'new'} processes: {num_workers}"
                figures[name] = _costs(cache_dir, num_workers, persist, counted, Path(folder))
        finally:
            LocalStore.digest = digest  # type: ignore[method-assign]
    return figures


def _costs(cache_dir: Path, num_workers: int, persist: bool, counted: CountedCalls, folder: Path) -> dict:
    reader = open_reader(cache_dir)
    data, seconds, digests = Windows(reader), [], []
    with temporary_ledger(folder) as ledger, Workers((data,), num_workers) as workers:
        if persist:
            reader.share_ledger(ledger)
        for epoch in range(EPOCHS):
            order = np.random.default_rng(epoch).permutation(len(data)).tolist()
            planned = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
            started = time.perf_counter()
            for _ in batches(data, planned, workers if persist else num_workers):
                pass
            seconds.append(time.perf_counter() - started)
            digests.append(counted.taken().total())
    reader.close()
    later = {"digests": max(digests[1:]), "seconds": round(float(np.median(seconds[1:])), 2)}
    return {"first epoch": {"digests": digests[0], "seconds": round(seconds[0], 2)}, "later epochs": later}
