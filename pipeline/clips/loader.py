"""Batches of a dataset, loaded in this process or in loader processes, whose errors are raised here unchanged."""

import logging
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from embedonce.cache.errors import CacheError
from embedonce.pipeline.clips.batch_transport import Collate, as_tensors, usable_workers
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.worker_signals import leave_to_parent

log = logging.getLogger(__name__)


def batches(dataset: Dataset, planned: Sequence[Sequence[int]], num_workers: int) -> Iterator[dict[str, torch.Tensor]]:
    """The items of the dataset in exactly the planned batches of indexes.

    PipelineError if a loader process dies, or if an item is missing, repeated or out of order.
    """
    plan = [list(map(int, batch)) for batch in planned]
    delivered = 0
    try:
        for indexes, batch in _loaded(dataset, plan, num_workers):
            if isinstance(batch, Exception):
                raise batch
            expected = plan[delivered] if delivered < len(plan) else []
            if indexes != expected:
                raise PipelineError(f"the loader delivered clips {indexes[:4]}… instead of {expected[:4]}…")
            delivered += 1
            yield as_tensors(batch)
        if delivered != len(plan):
            raise PipelineError(f"the loader delivered {delivered} batches instead of {len(plan)}")
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PipelineError(
            "a loader process was killed, most likely because memory ran out: lower --num-workers or --batch-size and "
            "run the same command again"
        ) from error


def in_order(count: int, batch_size: int) -> list[range]:
    """Batches of the indexes 0 to count - 1, in order."""
    return [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def _loaded(dataset: Dataset, planned: list[list[int]], num_workers: int) -> Iterator:
    """Batches from loader processes, or from this process if no such processes can be started."""
    usable = usable_workers(min(num_workers, len(planned)))
    if usable < min(num_workers, len(planned)):
        log.warning(
            "using %d loader processes instead of %d: too few files may be open at once (raise ulimit -n)",
            usable,
            num_workers,
        )
    try:
        return iter(_loader(dataset, planned, usable))
    except OSError as error:
        if not usable:
            raise
        log.warning("no loader processes can be started (%s): loading in this process", error.strerror or error)
        return iter(_loader(dataset, planned, 0))


def _loader(dataset: Dataset, planned: list[list[int]], num_workers: int) -> DataLoader:
    """A loader with a random generator of its own: a resumed run starts one loader more than one without a stop."""
    return DataLoader(
        IndexedDataset(dataset),
        batch_sampler=planned,
        num_workers=num_workers,
        collate_fn=CollateWithErrors(num_workers),
        worker_init_fn=leave_to_parent,
        generator=torch.Generator().manual_seed(0),
    )


class IndexedDataset(Dataset):
    """Pairs (index, item). Errors become items, because torch would replace their message by a traceback."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # torch's Dataset does not declare __len__

    def __getitem__(self, index: int):
        try:
            return index, self._dataset[index]
        except (CacheError, OSError, MemoryError) as error:
            return index, error


class CollateWithErrors:
    """Collates pairs (index, item) into (indexes, batch), or (indexes, the first error) if an item is an error."""

    def __init__(self, num_workers: int):
        self._collate = Collate(num_workers)

    def __call__(self, pairs: list) -> tuple[list[int], object]:
        indexes, items = [index for index, _ in pairs], [item for _, item in pairs]
        error = next((item for item in items if isinstance(item, Exception)), None)
        return indexes, error or self._collate(items)
