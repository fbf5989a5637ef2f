"""The processor cores that this process may use, and the time that it and its children have computed on them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # where Linux shows control groups, with which containers are limited
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Cores that this process may use: fewer than the machine has under taskset, SLURM, a cpuset or a quota.

    A container's quota that ends with a part of a core is rounded up.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _group_folders(groups, own_groups) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _group_folders(groups: Path, own_groups: Path) -> Iterator[Path]:
    """The folders that may limit this process: of its own control group and of all that contain it, of both versions.

    In a container, the group's path may be that of the host, where there is only the folder at the top.
    """
    for line in (_text(own_groups) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        top = groups if number == "0" else groups / controllers
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _quota(folder: Path) -> float | None:
    """Cores that a control group may use; None if it does not limit them."""
    if (text := _text(folder / "cpu.max")) is not None:  # version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD"
        quota, _, period = text.partition(" ")
    else:
        quota, period = _text(folder / "cpu.cfs_quota_us") or "-1", _text(folder / "cpu.cfs_period_us") or ""
    if not quota.strip().isdecimal() or not period.strip().isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
