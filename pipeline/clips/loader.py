"""Batches of a dataset, made here or in loader processes; an error in one of those arrives as it was raised there.

Knows datasets and processes; nothing of models.
"""

import logging
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from embedonce.cache.errors import CacheError
from embedonce.pipeline.clips.batch_transport import Collate, received, usable_workers
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.worker_signals import leave_to_parent

log = logging.getLogger(__name__)


def batches(dataset: Dataset, planned: Sequence[Sequence[int]], num_workers: int) -> Iterator[dict]:
    """The items of the dataset in exactly these batches: every index is held against the plan.

    PipelineError where a loader process dies, or where an item is missing, comes twice or out of turn.
    """
    planned = [list(map(int, batch)) for batch in planned]
    delivered = 0
    try:
        for indexes, batch in _loaded(dataset, planned, num_workers):
            if isinstance(batch, Exception):
                raise batch
            expected = planned[delivered] if delivered < len(planned) else []
            if indexes != expected:
                raise PipelineError(f"clips {indexes[:4]}… were delivered in the place of {expected[:4]}…")
            delivered += 1
            yield received(batch)
        if delivered != len(planned):
            raise PipelineError(f"{delivered} batches were delivered where {len(planned)} are recorded")
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PipelineError(
            "a loader process was killed, most likely for want of memory: lower --num-workers or --batch-size and run "
            "the same command again"
        ) from error


def in_order(count: int, batch_size: int) -> list[range]:
    """Batches of the first items, in order."""
    return [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def _loaded(dataset: Dataset, planned: list[list[int]], num_workers: int) -> Iterator:
    """The batches as loader processes deliver them, or this one where no such processes can be started."""
    usable = usable_workers(min(num_workers, len(planned)))
    if usable < min(num_workers, len(planned)):
        log.warning("few files may be open at once (ulimit -n): %d loader processes instead of %d", usable, num_workers)
    try:
        return iter(_loader(dataset, planned, usable))
    except OSError as error:
        if not usable:
            raise
        log.warning("no loader processes can be started (%s): loading in this process", error.strerror or error)
        return iter(_loader(dataset, planned, 0))


def _loader(dataset: Dataset, planned: list[list[int]], num_workers: int) -> DataLoader:
    """A loader that draws nothing from torch's global generator: a run that is continued has one loader more."""
    return DataLoader(
        IndexedDataset(dataset),
        batch_sampler=planned,
        num_workers=num_workers,
        collate_fn=_Collated(num_workers),
        worker_init_fn=leave_to_parent,
        generator=torch.Generator().manual_seed(0),
    )


class IndexedDataset(Dataset):
    """A dataset of (index, item). Errors are items: torch would put a traceback in the place of their sentence."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int):
        try:
            return index, self._dataset[index]
        except (CacheError, OSError, MemoryError) as error:
            return index, error


class _Collated:
    """Parcels as (their indexes, their items as a batch), or as the first error among these."""

    def __init__(self, num_workers: int):
        self._collate = Collate(num_workers)

    def __call__(self, parcels: list) -> tuple[list[int], object]:
        indexes, items = [index for index, _ in parcels], [item for _, item in parcels]
        error = next((item for item in items if isinstance(item, Exception)), None)
        return indexes, error or self._collate(items)
