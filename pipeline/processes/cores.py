"""The processor cores that this process may use, and the time that it and its children have computed on them."""

import os


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has under taskset, SLURM or a cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
