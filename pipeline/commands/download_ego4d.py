"""The commands that are about Ego4D: download-ego4d.

Click only: parse, make one call, say what came of it.
"""

import sys
from pathlib import Path

import click

from embedonce.pipeline.commands.common_options import PATH, SEED, FiniteRange
from embedonce.pipeline.commands.terminal import echo, options
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.settings.ranges import MAX_COUNT
from embedonce.pipeline.sources.ego4d.layout import CLIPS, WHOLE_VIDEOS

KINDS = (*WHOLE_VIDEOS, *CLIPS)
SHOWN_VIDEOS = 20
LIMIT = FiniteRange(min=0, max=MAX_COUNT, min_open=True)
LIMITS = options(
    click.option(
        "--num-videos", type=click.IntRange(0, MAX_COUNT), default=10, show_default=True, help="0: annotations only."
    ),
    click.option(
        "--scenario", "scenarios", multiple=True, metavar="NAME", help="Part of a scenario's name; repeatable."
    ),
    click.option("--max-gb", type=LIMIT, help="Of the videos together, 10^9 bytes."),
    click.option("--max-hours", type=LIMIT, help="Of the videos together."),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Which of the equally good videos."),
)


@click.command("download-ego4d")
@click.option("--data-dir", type=PATH, default=Path("ego4d_data"), show_default=True, help="Folder for the data.")
@LIMITS
@click.option("--kind", type=click.Choice(KINDS), default="full_scale", show_default=True, help="Which files.")
@click.option("--version", default="v2_1", show_default=True, help="Of Ego4D, as its client names it.")
@click.option("--aws-profile", default="default", show_default=True, help="Whose keys in ~/.aws/credentials to use.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched; fetch nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def download_ego4d(data_dir: Path, kind: str, version: str, aws_profile: str, dry_run: bool, yes: bool, **wish):
    """Fetch a few Ego4D videos and the annotations, by Ego4D's own client (pip install 'embedonce[ego4d]').

    Takes videos that are in FHO, Moments and Narrations first, then in two of them, then in one; with one seed
    always the same ones. Says what it takes before it begins. Runs again where it stopped.
    """
    from embedonce.pipeline.sources.ego4d.download.download import Download
    from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig
    from embedonce.pipeline.sources.ego4d.download.video_selection import SelectionCriteria

    if not version.replace("_", "").isalnum() or not version.isascii():
        raise click.UsageError(f"--version must be one such as v2_1, not {version!r}")
    config = DownloadConfig(data_dir, kind, version, aws_profile, SelectionCriteria(**wish))
    download = Download(config)
    if not _fetch(download, config, download.annotations(), dry_run, yes):
        echo("the videos are chosen from the annotations: fetch those first (--num-videos 0 fetches only them)")
        return
    if config.criteria.num_videos and _fetch(download, config, download.videos(), dry_run, yes):
        echo(next_line("extract-teacher", {"data_dir": data_dir}))


def _fetch(download, config, transfer, dry_run: bool, yes: bool) -> bool:
    """Say what is to be done and do it. False: it is not there, because this is a dry run."""
    download.check_foreign_files(transfer)
    for line in _in_words(transfer, config, download.free_bytes()):
        echo(line)
    remaining = transfer.remaining(config.data_dir)
    download.check_space(transfer)
    if dry_run:
        echo("dry run: nothing was fetched" if remaining else "dry run: nothing is to be fetched")
        return not remaining
    if remaining and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on whether to fetch this: say --yes")
        click.confirm("fetch this?", abort=True)
    download.fetch(transfer)
    if remaining:
        echo(f"{transfer.dataset}: {len(transfer.files)} files, all there")
    return True


def _in_words(transfer, config, free_bytes: int):
    from embedonce.pipeline.console.units import in_bytes
    from embedonce.pipeline.sources.ego4d.download.transfers import FileState

    def size(files) -> str:
        known = transfer.is_exact or transfer.gb_per_hour
        return ("" if transfer.is_exact else "about ") + in_bytes(transfer.size(files)) if known else "size not known"

    remaining, total = transfer.remaining(config.data_dir), len(transfer.files)
    hours = sum(video.hours for video in transfer.videos)
    of_videos = f"{len(transfer.videos)} videos, {hours:.2f} hours, " if transfer.videos else ""
    how = (
        f"a guess at {transfer.gb_per_hour:g} GB an hour, " * bool(transfer.gb_per_hour) + "for boto3 is not installed"
    )
    how = "as on S3" if transfer.is_exact else how
    yield f"{transfer.dataset} of Ego4D {config.version}: {of_videos}{total} files, {size(transfer.files)} ({how})"
    for video in transfer.videos[:SHOWN_VIDEOS]:
        scenarios = ", ".join(video.scenarios).encode("utf-8", "backslashreplace").decode()
        yield f"  {video.uid}  {60 * video.hours:6.1f} min  {'+'.join(video.tasks)}  {scenarios[:60]}"
    if len(transfer.videos) > SHOWN_VIDEOS:
        yield f"  and {len(transfer.videos) - SHOWN_VIDEOS} more"
    yield from (f"note: {note}" for note in transfer.notes)
    for file in remaining:
        if file.state(config.data_dir) is FileState.WRONG_SIZE:
            there = (config.data_dir / file.path).stat().st_size
            yield f"note: {file.path} has {there} bytes, not {file.num_bytes}: it will be fetched again"
    if remaining:
        done = f"{total - len(remaining)} are there already; " if len(remaining) < total else ""
        yield f"to fetch: {len(remaining)} files, {size(remaining)}; {done}{in_bytes(free_bytes)} free"
    else:
        yield "all of it is there already"


COMMANDS = (download_ego4d,)
