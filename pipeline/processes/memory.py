"""The memory that this process may still use, under the limits of a container."""

from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.processes.control_groups import GROUPS, OWN_GROUPS, group_folders, read_text

MEMORY_INFO = Path("/proc/meminfo")
_FILES = (  # limit, usage, and the field of memory.stat with what the system gives back when it is short; versions 2, 1
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory(info: Path = MEMORY_INFO, groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int | None:
    """Bytes that the machine and all control groups of this process have left; None where that is not known."""
    free = [left for folder in group_folders("memory", groups, own_groups) for left in _left(folder)]
    free += [number * 1024 for number in _numbers(info, "MemAvailable:")]
    return max(0, min(free)) if free else None


def _left(folder: Path) -> Iterator[int]:
    """Bytes that a control group has left; nothing if it has no limit."""
    for limit, usage, reclaimable in _FILES:
        bounds = [(read_text(folder / name) or "").strip() for name in (limit, usage)]
        if all(text.isdecimal() for text in bounds):
            most, used = map(int, bounds)
            yield most - used + sum(_numbers(folder / "memory.stat", reclaimable))


def _numbers(path: Path, field: str) -> list[int]:
    """The number after the name of a field, if a file has such a line."""
    lines = [line.split() for line in (read_text(path) or "").splitlines()]
    return [int(words[1]) for words in lines if len(words) > 1 and words[0] == field and words[1].isdecimal()]
