"""The command pull-cache: download a cache that push-cache has shared."""

from pathlib import Path

import click

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.settings.options import OUTPUT, Option

OUTPUT_DIR = Option(
    name="output_dir",
    value_type=Path,
    help="Folder of the cache, which must not exist.",
    group=OUTPUT,
    is_required=True,
)
REVISION = Option(name="revision", help="Branch, tag or commit to download.", group=OUTPUT, default_text="main")


@command("pull-cache", OUTPUT_DIR, REVISION)
@click.argument("repo", metavar="USER/NAME")
def pull_cache(repo: str, output_dir: Path, revision: str | None) -> None:
    """Download a cache from the Hugging Face Hub, and verify it.

    USER/NAME is its repository. A pull that was stopped continues when the same command is given again.
    """
    from embedonce.pipeline.hub.client import Hub
    from embedonce.pipeline.hub.manifest import CACHE
    from embedonce.pipeline.hub.pull_cache import pull
    from embedonce.pipeline.hub.repositories import check_repo, check_revision

    manifest = pull(Hub(check_repo(repo), "dataset"), output_dir, check_revision(revision))
    echo(f"{output_dir}: {manifest.rows} embedded frames of {manifest.videos} videos, teacher {manifest.teacher}")
    if manifest.kind == CACHE:
        echo(next_line("inspect-cache", {"cache_dir": output_dir}))
    else:
        echo("embeddings without frames: Parquet tables and label sets, to search and analyze, not to train students")
