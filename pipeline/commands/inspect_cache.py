"""The command inspect-cache: print a summary of a cache, and write a contact sheet of its frames."""

from functools import partial
from pathlib import Path

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.reporting.contact_sheet.methods import METHODS, PCA, require_method
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import CACHE, OUTPUT, Option
from embedonce.pipeline.settings.ranges import positive

NAME = "inspect-cache"
HTML = Option(
    name="html",
    value_type=Path,
    help="Write an HTML contact sheet: frames, a map of the embeddings, classes, near-duplicates, what is missing.",
    group=OUTPUT,
)
PROMPTS = Option(
    name="prompts",
    value_type=bool,
    default=False,
    help="Print the first zero-shot prompts of each class.",
    group=OUTPUT,
)
JSON = Option(
    name="json",
    value_type=Path,
    help="Write all prompts of a label set to this JSON file, which --prompts of relabel reads.",
    group=OUTPUT,
)
LABEL_SET = Option(
    name="label_set",
    help="Label set of the contact sheet and the prompts.",
    group=CACHE,
    default_text="the cache's only label set; with --prompts, all",
)
FRAMES = Option(
    name="frames",
    value_type=int,
    default=3000,
    help="Maximum number of frames on the contact sheet, which has at most 20 MB in any case.",
    group=OUTPUT,
    range=positive(100_000),
)
MAP = Option(
    name="map",
    default=PCA,
    help="Map of the embeddings on the contact sheet: principal components, or UMAP, which needs umap-learn.",
    group=OUTPUT,
    choices=METHODS,
)
OVERWRITE = Option(
    name="overwrite",
    value_type=bool,
    default=False,
    help="Replace the file of --html even if it is not a contact sheet, and that of --json.",
    group=OUTPUT,
)


@command(NAME, shared.CACHE_DIR.named("cache_dir", Path), LABEL_SET, HTML, FRAMES, MAP, PROMPTS, JSON, OVERWRITE)
def inspect_cache(
    cache_dir: Path | str,
    html: Path | None,
    prompts: bool,
    json: Path | None,
    label_set: str | None,
    frames: int,
    map: str,
    overwrite: bool,
) -> None:
    """Print a summary of a cache."""
    if html is not None:
        require_method(map)
        _check_place(html, overwrite)
    document = None if json is None else _prompts_document(cache_dir, label_set, json, overwrite)
    from embedonce.cache.inspect import prompt_lines, summary
    from embedonce.cache.store import open_reader
    from embedonce.pipeline.console.next_commands import lacking_lines
    from embedonce.pipeline.sources.data_summary import cache_tables

    lines = [*summary(cache_dir), *cache_tables(cache_dir)]
    following = lacking_lines(open_reader(cache_dir))
    for line in [*lines, *following, *(prompt_lines(cache_dir, label_set) if prompts else ())]:
        echo(line)
    if json is not None and document is not None:
        from embedonce.cache import commit

        commit.replace(json, document)
        echo(f"prompts: {json}")
    if html is not None:
        from embedonce.cache import commit
        from embedonce.pipeline.files.recognition import sealed
        from embedonce.pipeline.reporting.contact_sheet.sheet import Limits, contact_sheet

        reader = open_reader(cache_dir)
        labels = reader.label_set(label_set) if label_set or len(reader.label_sets()) == 1 else None
        page = contact_sheet(reader, lines, labels, Limits(frames), map)
        _check_replaceable(html, overwrite)  # the file may have appeared in the meantime
        commit.replace(html, sealed(page.encode("utf-8", "backslashreplace"), NAME))
        echo(f"contact sheet: {html}")


def _prompts_document(cache_dir: Path | str, label_set: str | None, path: Path, overwrite: bool) -> bytes:
    """The content of the file of --json. InputError if there are no prompts, or if the file holds something else."""
    from embedonce.cache.store import open_reader
    from embedonce.pipeline.errors import InputError
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.labeling.prompts.prompt_files import prompts_document

    labels = open_reader(cache_dir).label_set(label_set)
    if not labels.prompts:
        raise InputError(f"label set {labels.name!r} ({labels.kind}) has no prompts to write to {path}")
    document = prompts_document(labels.classes, labels.prompts)
    check_replaceable({path: document.__eq__}, overwrite, NAME, "--json")
    return document


def _check_place(html: Path, overwrite: bool) -> None:
    """InputError unless the contact sheet can be written there, before any work is done."""
    from embedonce.cache import commit
    from embedonce.pipeline.errors import InputError

    if not html.parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {html.parent}; create it first, or choose another place")
    commit.check_writable(html.parent)
    _check_replaceable(html, overwrite)


def _check_replaceable(html: Path, overwrite: bool) -> None:
    """InputError if the file exists and is not a contact sheet."""
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.files.recognition import is_sealed

    check_replaceable({html: partial(is_sealed, kind=NAME)}, overwrite, NAME, "--html")
