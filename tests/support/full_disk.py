"""Disks that are full or small: one on which operations find no room from some moment on, and a real one in memory.

Knows the os module and the open of cache.commit; knows nothing of what is written.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedonce.cache import commit


class FullDisk:
    """room: how many operations below folder succeed. Of a write for which there is no room, half is done."""

    def __init__(self, folder: Path, room: float = float("inf"), error: int = errno.ENOSPC):
        self.folder, self.room, self.error = folder, room, error
        self.names: list[str] = []  # of files and folders, by operation, as the operation would name them

    @contextmanager
    def filling(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "mkdir", self._checked(os.mkdir, 0))
            patch.setattr(os, "link", self._checked(os.link, 1))
            patch.setattr(os, "replace", self._checked(os.replace, 1))
            patch.setattr(os, "open", self._checked(os.open, 0, lambda path, flags, *_: flags & os.O_CREAT))
            patch.setattr(os, "fsync", lambda handle: self.spend(os.readlink(f"/proc/self/fd/{handle}")))
            patch.setattr(commit, "open", self._opening(open), raising=False)
            yield

    def _opening(self, real: Callable) -> Callable:
        def opened(path, mode):
            self.spend(path)
            return _File(self, path, real(path, mode))

        return opened

    def spend(self, path) -> None:
        """Make one operation on path; OSError where there is no room for it any more."""
        if not f"{path}/".startswith(f"{self.folder}/"):
            return
        self.names.append(os.path.relpath(path, self.folder))
        if len(self.names) > self.room:
            raise OSError(self.error, os.strerror(self.error), str(path))

    def _checked(self, real: Callable, argument: int, needs_room: Callable = lambda *_: True) -> Callable:
        def checked(*arguments, **named):
            if needs_room(*arguments):
                self.spend(arguments[argument])
            return real(*arguments, **named)

        return checked


class _File:
    """A file that is written as far as there is room."""

    def __init__(self, disk: FullDisk, path: Path, file):
        self._disk, self._path, self._file = disk, path, file
        self.flush, self.fileno = file.flush, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, data: bytes) -> None:
        try:
            self._disk.spend(self._path)
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        self._file.write(data)


def tree(root: Path) -> dict[str, bytes | None]:
    """What lies under root, but for the lock and for what is only there for people or to save time."""
    left_out = (".writer.lock", "extract_config.yaml", "manifest.json", "file_fingerprints.json")
    paths = [path for path in root.rglob("*") if path.name not in left_out]
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in paths}


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A disk in memory, mounted where there is no folder yet. The test is skipped where mounting is not permitted."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def mount(*arguments) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here: {getattr(error, 'stderr', error)}")
