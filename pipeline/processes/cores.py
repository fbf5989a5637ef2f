"""The processor cores that this process may use, and the time that it and its children have computed on them."""

import math
import os
from pathlib import Path

from embedonce.pipeline.processes.control_groups import GROUPS, OWN_GROUPS, group_folders, read_text


def usable_cores(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Cores that this process may use: fewer than the machine has under taskset, SLURM, a cpuset or a quota.

    A container's quota that ends with a part of a core is rounded up.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quotas = [quota for folder in group_folders("cpu", groups, own_groups) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _quota(folder: Path) -> float | None:
    """Cores that a control group may use; None if it does not limit them."""
    if (
        text := read_text(folder / "cpu.max")
    ) is not None:  # version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD"
        quota, _, period = text.partition(" ")
    else:
        quota, period = read_text(folder / "cpu.cfs_quota_us") or "-1", read_text(folder / "cpu.cfs_period_us") or ""
    if not quota.strip().isdecimal() or not period.strip().isdecimal() or not int(period):
        return None
    return int(quota) / int(period)
