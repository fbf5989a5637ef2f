"""The command convert-cache: copy a cache to another shard format."""

from pathlib import Path

from embedonce.cache.layout import BACKENDS
from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import CACHE, OUTPUT, Option

OUTPUT_DIR = Option(
    name="output_dir",
    value_type=Path,
    help="Folder of the new cache, or its URL, such as s3://bucket/prefix.",
    group=OUTPUT,
    may_be_url=True,
    is_required=True,
)
BACKEND = Option(name="backend", help="Shard format of the new cache.", group=CACHE, choices=BACKENDS, is_required=True)


@command("convert-cache", shared.CACHE_DIR.named("cache_dir", Path), BACKEND, OUTPUT_DIR)
def convert_cache(cache_dir: Path | str, output_dir: Path | str, backend: str) -> None:
    """Copy a cache to another place or shard format: same frames, embeddings and labels.

    A run that was stopped continues when the same command is given again.
    """
    from embedonce.cache.convert import convert
    from embedonce.pipeline.files.disk_space import check_space
    from embedonce.pipeline.progress import Progress

    def check_size(num_bytes: int) -> None:
        check_space(output_dir, num_bytes, "choose another --output-dir")

    with Progress(None, "converting", "shards") as progress:
        done = convert(cache_dir, output_dir, backend, lambda done, total: progress.update(), check_size)
    echo(f"{output_dir}: {done} shards written; {next_line('verify-cache', {'cache_dir': output_dir})}")
