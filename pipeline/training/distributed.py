"""Training in several processes, as torchrun starts them: who this one is, and what it does of each batch.

Every process goes through the same global batches in the same order and computes its part of each.
"""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from embedonce.pipeline.errors import InputError

LONGEST_WAIT = timedelta(days=1)  # for the first process, which judges epochs alone; torchrun ends all where one dies


@dataclass(frozen=True)
class World:
    """This process among `size` processes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def part(self, batch: list[int]) -> list[int]:
        """What this process computes of a global batch."""
        return batch[self.rank :: self.size]

    def start_alike(self, student: nn.Module) -> None:
        """Give the student of every process the first one's weights and statistics."""
        if self.size > 1:
            for tensor in (*student.parameters(), *student.buffers()):
                distributed.broadcast(tensor.data, src=0)

    def combine(self, student: nn.Module) -> None:
        """Add up the gradients of all processes, and average what batch normalization has gathered: both, and so the
        students, are then the same in all of them.

        Not DistributedDataParallel: it expects every parameter to get a gradient, and averages over processes alike
        however many clips or labels each of them had. A parameter without a gradient anywhere keeps none.
        """
        if self.size == 1:
            return
        parameters, statistics = list(student.parameters()), _running_statistics(student)
        has_gradient = parameters[0].new_tensor([float(p.grad is not None) for p in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        parts = [*gradients, has_gradient, *(value / self.size for value in statistics)]
        flat = torch.cat([part.detach().reshape(-1) for part in parts])
        distributed.all_reduce(flat)
        summed = [
            part.view(like.shape) for part, like in zip(flat.split([p.numel() for p in parts]), parts, strict=True)
        ]
        count = len(parameters)
        for parameter, gradient, there in zip(parameters, summed, summed[count].tolist(), strict=False):
            parameter.grad = gradient.clone() if there else None
        for value, mean in zip(statistics, summed[count + 1 :], strict=True):
            value.copy_(mean)

    def gathered(self, value) -> list:
        """What each process says, by rank, in all of them."""
        if self.size == 1:
            return [value]
        holder = [None] * self.size
        distributed.all_gather_object(holder, value)
        return holder

    def agreed(self, value):
        """What the first process says, to all."""
        if self.size == 1:
            return value
        holder = [value]
        distributed.broadcast_object_list(holder, src=0)
        return holder[0]

    def summed(self, values: dict[str, float], device: torch.device) -> dict[str, float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return dict(zip(values, tensor.tolist(), strict=True))

    def leave(self) -> None:
        if self.size > 1:
            distributed.destroy_process_group()


def _running_statistics(student: nn.Module) -> list[torch.Tensor]:
    """Means and variances that normalization layers gather in training."""
    return [value for name, value in student.named_buffers() if name.endswith(("running_mean", "running_var"))]


def join(device: torch.device) -> tuple[World, torch.device]:
    """The world that torchrun's environment describes, joined, and this process's device."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), device
    world = World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", os.environ["RANK"])))
    if device.type == "cuda":
        if world.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"torchrun started process {world.local_rank} on a machine with {torch.cuda.device_count()} GPUs; "
                "lower --nproc-per-node"
            )
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    return world, device


def global_batches(order: list[int], batch_size: int, world_size: int) -> list[list[int]]:
    """The order in batches of batch_size; a last one with too few items for all processes joins the one before."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < world_size:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches
