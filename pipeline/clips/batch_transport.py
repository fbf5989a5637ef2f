"""How batches reach the main process from loader processes: through shared memory, or through a pipe if that is full.

Shared memory is faster, but small in containers (64 MB by default), and each tensor in it needs a file descriptor.
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
DESCRIPTORS_OF_BATCHES = 48  # per worker: the tensors of its prefetched batches


class Collate:
    """Collates items into a batch, in a loader process into a form that can be sent from there.

    Items are dicts of tensors, arrays or numbers; all have the same shapes.
    """

    def __init__(self, num_workers: int):
        self._num_workers = num_workers
        limit = _descriptor_limit()
        self._has_descriptors = limit >= DESCRIPTORS_OF_RUN + num_workers * DESCRIPTORS_OF_BATCHES

    def __call__(self, items: list[dict]) -> dict:
        """Name -> tensor, or array if the batch goes through a pipe; see as_tensors()."""
        if get_worker_info() is None:
            return default_collate(items)
        num_bytes = sum(np.asarray(value).nbytes for item in items for value in item.values())
        if self._has_descriptors and has_room(num_bytes * 2 * self._num_workers):  # all workers may start one now
            try:
                return default_collate(items)
            except RuntimeError as error:
                if "shared memory" not in str(error):
                    raise
        return {name: np.stack([np.asarray(item[name]) for item in items]) for name in items[0]}


def as_tensors(batch: dict) -> dict:
    """The batch with its arrays as tensors, without a copy."""
    return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}


def has_room(num_bytes: int) -> bool:
    """Whether shared memory has room for so many bytes. Systems other than Linux do not limit it separately."""
    if sys.platform != "linux":
        return True
    try:
        stats = os.statvfs(SHARED_MEMORY)
    except OSError:
        return False
    return stats.f_bavail * stats.f_frsize >= num_bytes


def usable_workers(num_workers: int) -> int:
    """How many of these loader processes the limit on open files allows; 0: load in this process."""
    allowed = (_descriptor_limit() - DESCRIPTORS_OF_RUN) // DESCRIPTORS_PER_WORKER
    return max(0, min(num_workers, allowed))


def _descriptor_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
