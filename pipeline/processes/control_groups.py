"""The control groups that limit this process on Linux, as containers and batch systems set them, versions 1 and 2."""

from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # where Linux shows control groups
OWN_GROUPS = Path("/proc/self/cgroup")


def group_folders(controller: str, groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> Iterator[Path]:
    """The folders that may limit this process: of its own control group and of all that contain it, of both versions.

    controller: such as "cpu", which version 1 has folders for. In a container, the group's path may be that of the
    host, where there is only the folder at the top.
    """
    for line in (read_text(own_groups) or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        top = groups if number == "0" else groups / controllers
        if number != "0" and controller not in controllers.split(","):
            continue
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def read_text(path: Path) -> str | None:
    """The text of a file of the system; None if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
