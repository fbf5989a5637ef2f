"""Training in several processes started by torchrun: their ranks, their shares of each batch, and what they exchange.

All processes visit the same global batches in the same order, and each computes its shard of every batch.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn

from embedonce.pipeline.errors import InputError

TIMEOUT = timedelta(days=1)  # others wait while the first process validates; torchrun ends all if one dies
Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """This process among `size` processes, of which local_size are on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def shard(self, batch: list[int]) -> list[int]:
        """This process's part of a global batch."""
        return batch[self.rank :: self.size]

    def broadcast_weights(self, student: nn.Module) -> None:
        """Copy parameters and buffers of the first process's student to all processes."""
        if self.size > 1:
            for tensor in (*student.parameters(), *student.buffers()):
                distributed.broadcast(tensor.data, src=0)

    def sync_gradients(self, student: nn.Module) -> None:
        """Sum gradients and average running statistics over all processes, so that all students stay equal.

        Unlike DistributedDataParallel this allows parameters without gradient (one that has none in any process keeps
        none), and does not average over processes, which may hold different numbers of clips and labels.
        """
        if self.size == 1:
            return
        parameters, statistics = list(student.parameters()), _running_statistics(student)
        has_gradient = parameters[0].new_tensor([float(p.grad is not None) for p in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        summed = _all_reduce([*gradients, has_gradient, *(value / self.size for value in statistics)])
        count = len(parameters)
        for parameter, gradient, exists in zip(parameters, summed, summed[count].tolist(), strict=False):
            parameter.grad = gradient.clone() if exists else None
        for value, mean in zip(statistics, summed[count + 1 :], strict=True):
            value.copy_(mean)

    def all_gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def broadcast(self, value: Value) -> Value:
        """The value of the first process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def all_reduce_sum(self, values: dict[str, float], device: torch.device) -> dict[str, float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return dict(zip(values, tensor.tolist(), strict=True))

    def shutdown(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            distributed.destroy_process_group()


def _all_reduce(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """The sums of these tensors over all processes, in one exchange."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _running_statistics(student: nn.Module) -> list[torch.Tensor]:
    """Running means and variances of normalization layers."""
    return [value for name, value in student.named_buffers() if name.endswith(("running_mean", "running_var"))]


def join(device: torch.device) -> tuple[World, torch.device]:
    """Join the process group that torchrun's environment variables describe; returns it and this process's device.

    InputError if torchrun started more processes on this machine than it has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), device
    rank, local_size = int(os.environ["RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    world = World(rank, size, int(os.environ.get("LOCAL_RANK", rank)), local_size)
    if device.type == "cuda":
        if world.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"torchrun started process {world.local_rank} on a machine with {torch.cuda.device_count()} GPUs; "
                "lower --nproc-per-node"
            )
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    return world, device


def global_batches(order: list[int], batch_size: int, world_size: int) -> list[list[int]]:
    """The order cut into batches; a last batch with fewer items than processes is merged into the one before."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < world_size:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches
