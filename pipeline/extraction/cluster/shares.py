"""How the resources of a cluster are shared out among workers. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """How many workers there are, and what each of them gets."""

    workers: int
    cpus: int
    gpus: int


def share_out(nodes: Sequence[Node], device: str, num_workers: int | None = None) -> Share:
    """One worker for each GPU, with its share of the cores; without GPUs, one for each node, with all its cores.

    num_workers: so many instead; without GPUs, each gets as many cores as possible. InputError if the device is not
    there.
    """
    total_gpus = sum(node.gpus for node in nodes)
    if device == "cuda" and not total_gpus:
        raise InputError("--device cuda: no machine of the Ray cluster has a GPU")
    if device in ("auto", "cuda") and total_gpus:
        cpus = min(node.cpus // node.gpus for node in nodes if node.gpus)
        return Share(num_workers or total_gpus, max(1, cpus), 1)
    usable = [node for node in nodes if node.cpus]
    workers = num_workers or max(1, len(usable))
    cpus = max((node.cpus for node in usable), default=1)
    while cpus > 1 and sum(node.cpus // cpus for node in usable) < workers:
        cpus -= 1
    return Share(workers, cpus, 0)
