"""Tells whether this machine was started again meanwhile: what was not on its disks by then may be lost."""

import functools
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def boot_id() -> str | None:
    """Equal in all processes of this machine from one start of it to the next; None where the system has no such name.

    Containers of one machine share it.
    """
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:  # not Linux
        return None
