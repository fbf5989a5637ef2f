"""Batches of a dataset, made here or in loader processes; an error in one of those arrives as it was raised there.

Knows datasets and processes; nothing of models.
"""

from collections.abc import Iterator

from torch.utils.data import DataLoader, Dataset, default_collate

from cache.errors import CacheError
from pipeline.errors import PipelineError


def batches(dataset: Dataset, order, batch_size: int, num_workers: int) -> Iterator[dict]:
    """Batches of the dataset in exactly this order, each item once. PipelineError where a loader process dies."""
    loader = DataLoader(
        _Parcels(dataset), batch_size, sampler=list(map(int, order)), num_workers=num_workers, collate_fn=_collated
    )
    try:
        for batch in loader:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PipelineError(
            "a loader process was killed, most likely for want of memory: lower --num-workers or --batch-size and run "
            "the same command again"
        ) from error


class _Parcels(Dataset):
    """A dataset whose errors are items: torch would put a traceback in the place of their sentence."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int):
        try:
            return self._dataset[index]
        except (CacheError, OSError, MemoryError) as error:
            return error


def _collated(items: list):
    return next((item for item in items if isinstance(item, Exception)), None) or default_collate(items)
