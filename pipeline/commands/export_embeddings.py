"""The command export-embeddings: write the embeddings of a cache as files that other programs read."""

from pathlib import Path

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.embedding_files.export import DTYPES, FORMATS
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.options import CACHE, OUTPUT, Option

FORMAT = Option(name="format", help="Format of the export.", group=OUTPUT, choices=FORMATS, is_required=True)
TO = Option(
    name="output",
    value_type=Path,
    help="File to write (parquet), or folder (npy, lance).",
    group=OUTPUT,
    is_required=True,
)
DTYPE = Option(
    name="dtype",
    default=DTYPES[0],
    help="Type of the exported numbers; the cache stores float16.",
    group=OUTPUT,
    choices=DTYPES,
)
VIEW = Option(
    name="view",
    value_type=int,
    default=0,
    help="View to export: 0 is the teacher's evaluation crop.",
    group=CACHE,
    range=ranges.VIEWS,
)
TEACHER = Option(
    name="teacher", help="Teacher to export.", group=CACHE, default_text="the one that the cache was made with"
)
LABEL_SET = Option(
    name="label_set", help="Label set whose labels and splits to add.", group=CACHE, default_text="no labels"
)
OVERWRITE = Option(
    name="overwrite", value_type=bool, default=False, help="Replace an earlier export of this format.", group=OUTPUT
)


@command(
    "export-embeddings",
    *(shared.CACHE_DIR.named("cache_dir", Path), VIEW, TEACHER, LABEL_SET, FORMAT, TO, DTYPE, OVERWRITE),
)
def export_embeddings(
    cache_dir: Path | str,
    output: Path,
    format: str,
    dtype: str,
    view: int,
    teacher: str | None,
    label_set: str | None,
    overwrite: bool,
) -> None:
    """Export the embeddings of a cache for other programs: Parquet, NumPy files, or Lance.

    One embedding per stored frame, with its video and time. No pixels are exported.
    """
    from embedonce.cache.store import open_reader
    from embedonce.pipeline.embedding_files.export import write_embeddings
    from embedonce.pipeline.progress import Progress

    reader = open_reader(cache_dir)
    choice = (format, view, teacher, label_set)
    with Progress(reader.num_rows, "exporting", "rows") as progress:
        count = write_embeddings(reader, output, *choice, dtype=dtype, overwrite=overwrite, on_rows=progress.update)
    echo(f"{output}: {count} embeddings of {len(reader.video_uids)} videos")
