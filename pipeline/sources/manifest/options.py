"""The options of the manifest source."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.settings.options import DATA, setting
from embedonce.pipeline.sources.frames.options import FrameFolderOptions


@dataclass(frozen=True, kw_only=True)
class ManifestOptions(FrameFolderOptions):
    """The table that lists the clips. None: another source reads the data folder."""

    manifest: Path | None = setting(
        help="Table of clips (.csv, .tsv, .jsonl or .parquet) with a column video, and if needed start, end, label, "
        "split, text and uid. Paths are relative to --data-dir, or else to the table's folder.",
        group=DATA,
    )
    skip_missing: bool = setting(
        False, "With --manifest: leave out rows whose video does not exist, with a note.", group=DATA
    )
