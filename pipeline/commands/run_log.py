"""The log file of one run of a command: what it was told, what it did and how long that took, and tracebacks.

Written for --debug. Secrets are taken out of every line, and a log that cannot be written never ends the run.
"""

import logging
import os
import platform
import shlex
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from embedonce.pipeline.commands.output import tell
from embedonce.pipeline.console.printable import printable
from embedonce.pipeline.environment.packages import packages, project_version
from embedonce.pipeline.settings.secrets import redacted

MARK_OF_A_CACHE = "cache.json"


def log_folder(chosen: Path | None) -> Path:
    """The folder of a log: the nearest one that exists, from the chosen one upwards, and that is in no cache.

    chosen: None for the current folder.
    """
    folder = (chosen or Path()).absolute()
    in_caches = [place for place in (folder, *folder.parents) if (place / MARK_OF_A_CACHE).exists()]
    folder = in_caches[-1].parent if in_caches else folder
    return next(place for place in (folder, *folder.parents) if place.is_dir())


class RunLog(logging.Handler):
    """A file that log records are written to. Raises OSError if it cannot be created."""

    def __init__(self, folder: Path, command: str):
        self._started, self._is_broken = time.monotonic(), False
        self.path, self._file = _create(folder, f"embedonce_{command}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        super().__init__(logging.DEBUG)  # last: at the end of the process, logging closes each one that it knows
        for line in _head(command):
            self.write(line)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        lines = "".join(traceback.format_exception(error)).splitlines() if error is not None else []
        passed = f"+{time.monotonic() - self._started:.3f} s"
        now = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%d %H:%M:%S.%f}"
        self.write("\n".join([f"{now} {passed} {record.levelname} {record.name}: {_message(record)}", *lines]))

    def write(self, text: str) -> None:
        """Write lines, without secrets; after a failed write, nothing more."""
        if self._is_broken:
            return
        try:
            self._file.write(redacted(printable(text, keep="\n")) + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            self._is_broken = True
            tell(f"the log {self.path} cannot be continued ({error}); the run goes on")

    def close(self) -> None:
        super().close()
        try:
            self._file.close()
        except OSError:
            self._is_broken = True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # of a library, with the wrong arguments
        return f"{record.msg} {record.args}"


def _create(folder: Path, stem: str) -> tuple[Path, TextIO]:
    """A new file of this name, or with a number behind it if another run has that."""
    path, number = folder / f"{stem}.log", 1
    while True:
        try:
            return path, open(path, "x", encoding="utf-8", errors="backslashreplace")
        except FileExistsError:
            number += 1
            path = folder / f"{stem}_{number}.log"


def _head(command: str) -> list[str]:
    return [
        f"embedonce {project_version()} {command}",
        f"command line: {shlex.join(sys.argv)}",
        f"folder: {os.getcwd()}",
        f"python {platform.python_version()} on {platform.platform()}, process {os.getpid()}",
        f"packages: {', '.join(map(str, packages().get('', [])))}",
    ]
