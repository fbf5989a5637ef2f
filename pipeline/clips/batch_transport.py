"""How batches come from loader processes: through shared memory where there is room for them, else through a pipe.

Shared memory is faster, and scarce in a container (64 MB by default); each tensor in it takes a file descriptor, too.
Knows tensors and limits; no dataset.
"""

import os
import resource
import sys

import numpy as np
import torch
from torch.utils.data import default_collate, get_worker_info

SHARED_MEMORY = "/dev/shm"
DESCRIPTORS_OF_RUN = 96  # libraries, shards, logs
DESCRIPTORS_PER_WORKER = 12  # its queues
DESCRIPTORS_OF_BATCHES = 48  # per worker: the tensors of the batches that it is ahead


class Collate:
    """Makes a batch of items: in a loader process, as it can be sent from there.

    Items are dicts of tensors, arrays or numbers, of the same shapes in all of them.
    """

    def __init__(self, num_workers: int):
        self._num_workers = num_workers
        limit = _descriptor_limit()
        self._has_descriptors = limit >= DESCRIPTORS_OF_RUN + num_workers * DESCRIPTORS_OF_BATCHES

    def __call__(self, items: list[dict]) -> dict:
        """Name -> tensor, or array where it goes through a pipe; `received` makes tensors of those."""
        if get_worker_info() is None:
            return default_collate(items)
        num_bytes = sum(np.asarray(value).nbytes for item in items for value in item.values())
        if self._has_descriptors and has_room(num_bytes * 2 * self._num_workers):  # all of them may begin one now
            try:
                return default_collate(items)
            except RuntimeError as error:
                if "shared memory" not in str(error):
                    raise
        return {name: np.stack([np.asarray(item[name]) for item in items]) for name in items[0]}


def received(batch: dict) -> dict:
    """The batch with tensors of its arrays, which are copied nowhere."""
    return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}


def has_room(num_bytes: int) -> bool:
    """Whether shared memory has room for so many bytes. Where it is no folder, it has the room that memory has."""
    if sys.platform != "linux":
        return True
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= num_bytes


def usable_workers(num_workers: int) -> int:
    """As many of these loader processes as the limit of open files allows; 0: load in this process."""
    allowed = (_descriptor_limit() - DESCRIPTORS_OF_RUN) // DESCRIPTORS_PER_WORKER
    return max(0, min(num_workers, allowed))


def _descriptor_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
