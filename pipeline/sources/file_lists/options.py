"""The options of the source that reads lists of files."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FileListOptions:
    """None: the names of the lists say everything."""
