"""Errors that say that memory ran out are recognized, and no others."""

import numpy as np
import pytest
import torch

from embedonce.models.machine_errors import is_of_the_disk, is_of_the_machine, is_out_of_memory


@pytest.mark.parametrize(
    "allocate", [lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50), lambda: b"x" * (1 << 60)]
)
def test_what_an_impossible_allocation_raises_is_recognized(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as told:
        allocate()
    assert is_out_of_memory(told.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.cuda.OutOfMemoryError("Allocation on device"),
        RuntimeError("MPS backend out of memory (MPS allocated: 7.23 GB, max allowed: 9.07 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:83] data. DefaultCPUAllocator: not enough memory: you tried to"),
    ],
)
def test_errors_of_devices_that_are_not_here_are_recognized(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "of_the_machine", "of_the_disk"),
    [
        (MemoryError(), True, True),
        (OSError(28, "No space left on device"), True, True),
        (ConnectionResetError(104, "Connection reset by peer"), True, False),
        (OSError("the repository was not found"), False, False),
        (RuntimeError("Error(s) in loading state_dict"), False, False),
    ],
)
def test_a_network_that_fails_is_no_fault_of_the_disk(error, of_the_machine, of_the_disk):
    assert (is_of_the_machine(error), is_of_the_disk(error)) == (of_the_machine, of_the_disk)
