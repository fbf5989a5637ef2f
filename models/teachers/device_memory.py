"""Trying how much fits into the memory of a GPU, without taking all of it."""

import contextlib
from collections.abc import Callable, Iterator

import torch

SHARE = 0.8  # of the memory that is free at first: the rest is for what fragmentation and other programs take


@contextlib.contextmanager
def with_room_left(device: str) -> Iterator[Callable[[], None]]:
    """Within this context, torch's allocator takes at most SHARE of what is free; afterwards what it cached is free.

    device: such as `cuda:1`. Taking more raises an out-of-memory error: on CUDA at once, on MPS when the function that
    this context yields is called. Nothing is limited on other devices.
    """
    kind = torch.device(device).type
    if kind == "cuda" and torch.cuda.is_available():
        with _limited(torch.device(device)):
            yield lambda: None
    elif kind == "mps" and torch.backends.mps.is_available():
        try:
            yield _check_mps
        finally:
            torch.mps.empty_cache()
    else:
        yield lambda: None


@contextlib.contextmanager
def _limited(device: torch.device) -> Iterator[None]:
    free, total = torch.cuda.mem_get_info(device)
    allowed = torch.cuda.memory_reserved(device) + SHARE * free
    before = torch.cuda.get_per_process_memory_fraction(device)
    torch.cuda.set_per_process_memory_fraction(min(before, allowed / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(before, device)
        torch.cuda.empty_cache()


def _check_mps() -> None:
    """Its allocator cannot be limited to less than its default without changing a second limit."""
    if torch.mps.driver_allocated_memory() > SHARE * torch.mps.recommended_max_memory():
        raise MemoryError("the batch takes more memory than leaves room on this device")
