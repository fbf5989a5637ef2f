"""Batches of datasets, loaded in this process or in loader processes, whose errors are raised here unchanged.

A request names a dataset, its state in this epoch and an index, so that loader processes serve several datasets over
many epochs: what they have parsed and opened is kept.
"""

import logging
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from embedonce.cache.errors import CacheError
from embedonce.pipeline.clips.batch_transport import Collate, as_tensors, usable_workers
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.main_module import without_main
from embedonce.pipeline.processes.worker_errors import with_traceback_note
from embedonce.pipeline.processes.worker_signals import leave_to_parent

log = logging.getLogger(__name__)

Request = tuple[int, object, int]  # number of a dataset, its epoch_state (None: it has none), index in it


class Workers:
    """Loader processes for some datasets, or this process if num_workers is 0 or none can be started.

    They start with the first batch, with a copy of the datasets of which only `epoch_state` may change later, and end
    with close(). One iteration at a time: a new one drops what is left of the one before.

    pin_memory: deliver batches in memory from which a GPU copies while the next step is prepared.
    """

    def __init__(self, datasets: Sequence[Dataset], num_workers: int, pin_memory: bool = False):
        self._datasets, self._num_workers, self._pin_memory = list(datasets), num_workers, pin_memory
        self._requests: list[list[Request]] = []  # what the loader iterates over
        self._loader: DataLoader | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._loader = None

    def load(self, dataset: Dataset, planned: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], object]]:
        """(indexes, batch) or (indexes, error) for each planned batch of one of the datasets."""
        number = next(i for i, one in enumerate(self._datasets) if one is dataset)
        state = getattr(dataset, "epoch_state", None)
        self._requests[:] = [[(number, state, int(index)) for index in batch] for batch in planned]
        if self._loader is None:
            return self._start()
        return iter(self._loader)

    def _start(self) -> Iterator:
        usable = usable_workers(self._num_workers)
        if usable < self._num_workers:
            log.warning(
                "using %d loader processes instead of %d: too few files may be open at once (raise ulimit -n)",
                usable,
                self._num_workers,
            )
        try:
            self._loader = self._new_loader(usable)
            with without_main():  # where processes are not forked
                return iter(self._loader)
        except OSError as error:
            if not usable:
                raise
            log.warning("no loader processes can be started (%s): loading in this process", error.strerror or error)
            self._loader = self._new_loader(0)
            return iter(self._loader)

    def _new_loader(self, num_workers: int) -> DataLoader:
        """A loader with a random generator of its own: a resumed run starts one loader more than one without a stop."""
        return DataLoader(
            RequestedItems(self._datasets),
            batch_sampler=self._requests,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            collate_fn=CollateWithErrors(num_workers),
            worker_init_fn=leave_to_parent,
            generator=torch.Generator().manual_seed(0),
            pin_memory=self._pin_memory,
        )


def batches(
    dataset: Dataset, planned: Sequence[Sequence[int]], workers: Workers | int
) -> Iterator[dict[str, torch.Tensor]]:
    """The items of the dataset in exactly the planned batches of indexes.

    workers: those that load them; a number: so many new ones, for these batches only. PipelineError if a loader process
    dies, or if an item is missing, repeated or out of order.
    """
    if isinstance(workers, int):
        with Workers((dataset,), min(workers, len(planned))) as own:
            yield from batches(dataset, planned, own)
        return
    plan = [list(map(int, batch)) for batch in planned]
    delivered = 0
    try:
        for indexes, batch in workers.load(dataset, plan):
            if isinstance(batch, Exception):
                raise batch
            expected = plan[delivered] if delivered < len(plan) else []
            if indexes != expected:
                raise PipelineError(f"the loader delivered clips {indexes[:4]}… instead of {expected[:4]}…")
            delivered += 1
            yield as_tensors(batch)  # type: ignore[arg-type]  # it is a dict of tensors or arrays
        if delivered != len(plan):
            raise PipelineError(f"the loader delivered {delivered} batches instead of {len(plan)}")
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PipelineError(
            "a loader process was killed, most likely because memory ran out: lower --num-workers or --batch-size, or "
            "train with --preload off, and run the same command again"
        ) from error


def in_order(count: int, batch_size: int) -> list[range]:
    """Batches of the indexes 0 to count - 1, in order."""
    return [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


class RequestedItems(Dataset):
    """Pairs (index, item). Errors become items, because torch would replace their message by a traceback."""

    def __init__(self, datasets: list[Dataset]):
        self._datasets = datasets

    def __getitems__(self, requests: list[Request]) -> list:
        """All items of one batch; datasets that can begin to read them are told which ones first."""
        dataset = self._datasets[requests[0][0]]
        if isinstance(dataset, ClipDataset):
            dataset.prefetch(index for _, _, index in requests)
        return [self[request] for request in requests]

    def __getitem__(self, request: Request):
        number, state, index = request
        dataset = self._datasets[number]
        if state is not None:
            dataset.epoch_state = state  # type: ignore[attr-defined]  # the requesting process saw that it has one
        try:
            return index, dataset[index]
        except (CacheError, OSError, MemoryError) as error:
            return index, error if get_worker_info() is None else with_traceback_note(error)


class CollateWithErrors:
    """Collates pairs (index, item) into (indexes, batch), or (indexes, the first error) if an item is an error."""

    def __init__(self, num_workers: int):
        self._collate = Collate(num_workers)

    def __call__(self, pairs: list) -> tuple[list[int], object]:
        indexes, items = [index for index, _ in pairs], [item for _, item in pairs]
        error = next((item for item in items if isinstance(item, Exception)), None)
        return indexes, error or self._collate(items)
