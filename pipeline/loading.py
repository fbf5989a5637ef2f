"""Batches of a dataset, made here or in loader processes; an error in one of those arrives as it was raised there.

Knows datasets and processes; nothing of models.
"""

from collections.abc import Iterator

from torch.utils.data import DataLoader, Dataset, default_collate

from cache.errors import CacheError
from pipeline.errors import PipelineError


def batches(dataset: Dataset, order, batch_size: int, num_workers: int) -> Iterator[dict]:
    """Batches of the dataset in exactly this order, each item once: every index is held against the order.

    PipelineError where a loader process dies, or where an item is missing, comes twice or out of turn.
    """
    order = list(map(int, order))
    loader = DataLoader(_Parcels(dataset), batch_size, sampler=order, num_workers=num_workers, collate_fn=_collated)
    delivered = 0
    try:
        for indexes, batch in loader:
            if isinstance(batch, Exception):
                raise batch
            if indexes != order[delivered : delivered + len(indexes)]:
                raise PipelineError(f"clips {indexes[:4]}… were delivered in the place of {order[delivered]}…")
            delivered += len(indexes)
            yield batch
        if delivered != len(order):
            raise PipelineError(f"{delivered} clips were delivered where {len(order)} are recorded")
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PipelineError(
            "a loader process was killed, most likely for want of memory: lower --num-workers or --batch-size and run "
            "the same command again"
        ) from error


class _Parcels(Dataset):
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


def _collated(parcels: list) -> tuple[list[int], object]:
    indexes, items = [index for index, _ in parcels], [item for _, item in parcels]
    return indexes, next((item for item in items if isinstance(item, Exception)), None) or default_collate(items)
