"""Whether decoded frames of the training and selection clips are kept in memory (--preload)."""

import logging
from collections.abc import Sequence

from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.kept_crops import KeptCrops
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.processes.memory import available_memory

log = logging.getLogger(__name__)

MEMORY_SHARE = 0.5  # of the available memory that decoded frames may take; the rest is for training


class Preload:
    """What is kept for some datasets. begin() lets them use it.

    choice: on, off or auto. num_workers: loader processes, which share it. num_processes: on this machine that train
    together, each with frames of its own. with_random_views: whether any epoch will draw them. InputError if they have
    to be kept and cannot be.
    """

    def __init__(
        self,
        choice: str,
        datasets: Sequence[ClipDataset],
        num_workers: int,
        num_processes: int = 1,
        with_random_views: bool = True,
    ):
        self._datasets = datasets
        self._kept: list[KeptCrops] = []
        self._line = ""
        if choice == "off":
            return
        kept = [data.kept_crops(with_random_views) for data in datasets]
        num_bytes, available = num_processes * sum(one.num_bytes for one in kept), available_memory()
        lack = _lack(num_bytes, available, choice)
        problem = lack or _allocate(kept, num_workers)
        if problem and choice == "on":
            remedy = "lower --views or --student-resolution" if lack else "use --num-workers 0"
            raise InputError(f"--preload on: {problem}; {remedy}, or --preload auto")
        if problem:
            self._line = f"frames are decoded whenever they are read (--preload {choice}): {problem}"
            return
        self._kept = kept
        room = f"at most {in_bytes(num_bytes)} (--preload {choice})"
        self._line = f"decoded frames are kept in memory once they are read: {room}"

    def begin(self) -> None:
        """Keep what is decoded from now on. To be called before loader processes start."""
        if self._line:
            log.info("%s", self._line)
        for data, kept in zip(self._datasets, self._kept, strict=False):
            data.kept = kept


def _lack(num_bytes: int, available: int | None, choice: str) -> str | None:
    """Why there is too little memory for so many bytes; None if there is enough, or if it is not known and wanted."""
    if available is None:
        return None if choice == "on" else "it is not known how much memory is available"
    if num_bytes <= MEMORY_SHARE * available:
        return None
    return (
        f"all decoded frames take {in_bytes(num_bytes)}, more than {MEMORY_SHARE:.0%} of the {in_bytes(available)} of "
        "memory that are available"
    )


def _allocate(kept: Sequence[KeptCrops], num_workers: int) -> str | None:
    """Reserve memory; returns why that is not possible, or None."""
    try:
        for one in kept:
            one.allocate(is_shared=num_workers > 0)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "out of memory"
        return f"memory cannot be shared with {num_workers} loader processes ({reason})"
    return None
