"""The options of the folder source."""

from dataclasses import dataclass

from embedonce.pipeline.settings.options import DATA, Option, setting
from embedonce.pipeline.sources.folder.layouts import LAYOUTS

LAYOUT = Option(
    help="Meaning of the sub-folders of --data-dir.",
    group=DATA,
    choices=LAYOUTS,
    default_text="inferred; ambiguous layouts are refused",
)


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How sub-folders are read. layout: one of LAYOUTS; None: inferred."""

    layout: str | None = setting(LAYOUT)
