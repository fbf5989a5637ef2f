"""The options of the folder source."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How sub-folders are read. layout: one of folder.layouts.LAYOUTS; None: inferred."""

    layout: str | None = None
