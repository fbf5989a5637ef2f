"""Where a video file is: a local path, or anything else that can be opened for reading anywhere in it."""

import io
import os
from pathlib import Path
from typing import Protocol


class OpenableFile(Protocol):
    """A file that is not local. `open` and the file that it returns raise OSError while it cannot be read."""

    def open(self, mode: str = "rb") -> io.BufferedReader: ...

    def stat(self) -> os.stat_result: ...


VideoLocation = Path | OpenableFile
