"""Which files the processes of a session have open or mapped, and which of them have a name in /dev/shm."""

import contextlib
import os
from pathlib import Path

GONE = " (deleted)"  # what the kernel adds to the path of a file that has no name any more, or never had one


def held_files(session: int) -> set[str]:
    """Paths as the kernel tells them, of all processes in a session: that of a program and of those it starts."""
    held: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process, or a file, may have just been closed
            if os.getsid(int(folder.name)) == session:
                held |= _mapped(folder) | _opened(folder)
    return held


def named_memory(held: set[str]) -> set[str]:
    """Those of these files that would be left in /dev/shm if all who hold them were killed."""
    return {path for path in held if path.startswith("/dev/shm/") and not path.endswith(GONE)}


def _mapped(folder: Path) -> set[str]:
    columns = (line.split(maxsplit=5) for line in (folder / "maps").read_text().splitlines())
    return {fields[5] for fields in columns if len(fields) == 6}


def _opened(folder: Path) -> set[str]:
    found = set()
    for link in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(link))
    return found
