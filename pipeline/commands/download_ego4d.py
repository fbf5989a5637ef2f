"""The command download-ego4d: download a subset of Ego4D's videos with their annotations."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedonce.pipeline.commands.click_options import GroupedOption, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import DATA, OUTPUT, RUNTIME, Option
from embedonce.pipeline.settings.ranges import MAX_COUNT, non_negative, positive
from embedonce.pipeline.sources.ego4d.layout import CLIPS, WHOLE_VIDEOS

if TYPE_CHECKING:
    from embedonce.pipeline.sources.ego4d.download.download import Download
    from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig

KINDS = (*WHOLE_VIDEOS, *CLIPS)
MAX_VIDEOS_SHOWN = 20
OPTIONS = (
    Option(
        name="data_dir", value_type=Path, default=Path("ego4d_data"), help="Output folder of the download.", group=DATA
    ),
    Option(
        name="num_videos",
        value_type=int,
        default=10,
        help="Number of videos; 0: annotations only.",
        group=DATA,
        range=non_negative(MAX_COUNT),
    ),
    Option(
        name="max_gb",
        value_type=float,
        help="Maximum size of the videos in total, in GB (10^9 bytes).",
        group=DATA,
        range=positive(MAX_COUNT),
    ),
    Option(
        name="max_hours",
        value_type=float,
        help="Maximum length of the videos in total, in hours.",
        group=DATA,
        range=positive(MAX_COUNT),
    ),
    Option(name="kind", default="full_scale", help="Kind of video files.", group=DATA, choices=KINDS),
    Option(name="version", default="v2_1", help="Version of Ego4D, as its client names it.", group=DATA),
    Option(
        name="aws_profile", default="default", help="Profile in ~/.aws/credentials with the access keys.", group=RUNTIME
    ),
    shared.SEED.named("seed", int, help="Seed for choosing among equally suitable videos.", group=DATA),
    Option(
        name="dry_run",
        value_type=bool,
        default=False,
        help="Print what would be downloaded; download nothing.",
        group=OUTPUT,
    ),
    Option(name="yes", value_type=bool, default=False, help="Skip the confirmation.", group=RUNTIME, aliases=("-y",)),
)


@command("download-ego4d", *OPTIONS)
@click.option(
    "--scenario",
    "scenarios",
    cls=GroupedOption,
    group=DATA,
    multiple=True,
    metavar="NAME",
    help="Only videos of this scenario; part of its name is enough; repeatable.",
)
def download_ego4d(
    data_dir: Path, kind: str, version: str, aws_profile: str, dry_run: bool, yes: bool, **criteria: Any
) -> None:
    """Download a few Ego4D videos and the annotations with Ego4D's own client (pip install ego4d).

    Prefers videos that are annotated in FHO, Moments and Narrations, then in two of them, then in one; the same seed
    always selects the same videos. Lists the files before the download begins. A run that was stopped continues.
    """
    from embedonce.pipeline.sources.ego4d.download.download import Download
    from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig
    from embedonce.pipeline.sources.ego4d.download.video_selection import SelectionCriteria

    if not version.replace("_", "").isalnum() or not version.isascii():
        raise click.UsageError(f"--version must be a version such as v2_1, not {version!r}")
    config = DownloadConfig(data_dir, kind, version, aws_profile, SelectionCriteria(**criteria))
    download = Download(config)
    if not _fetch(download, config, download.annotations(), dry_run, yes):
        echo("the videos are selected from the annotations: download those first (with --num-videos 0, only those)")
        return
    if config.criteria.num_videos and _fetch(download, config, download.videos(), dry_run, yes):
        echo(next_line("extract-teacher", {"data_dir": data_dir}))


def _fetch(download: "Download", config: "DownloadConfig", transfer: Any, dry_run: bool, yes: bool) -> bool:
    """List the files of a transfer and download them; False if files are missing because this is a dry run."""
    download.check_foreign_files(transfer)
    for line in _transfer_lines(transfer, config, download.free_bytes()):
        echo(line)
    remaining = transfer.remaining(config.data_dir)
    download.check_space(transfer)
    if dry_run:
        echo("dry run: nothing was downloaded" if remaining else "dry run: nothing to download")
        return not remaining
    if remaining and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to confirm the download on: give --yes")
        click.confirm("download this?", abort=True)
    download.fetch(transfer)
    if remaining:
        echo(f"{transfer.dataset}: all {len(transfer.files)} files downloaded")
    return True


def _transfer_lines(transfer: Any, config: "DownloadConfig", free_bytes: int) -> Iterator[str]:
    """The files of a transfer: totals, the videos, notes, and what remains to be downloaded."""
    from embedonce.pipeline.sources.ego4d.download.transfers import FileState

    yield _totals(transfer, config)
    for video in transfer.videos[:MAX_VIDEOS_SHOWN]:
        scenarios = ", ".join(video.scenarios).encode("utf-8", "backslashreplace").decode()
        yield f"  {video.uid}  {60 * video.hours:6.1f} min  {'+'.join(video.tasks)}  {scenarios[:60]}"
    if len(transfer.videos) > MAX_VIDEOS_SHOWN:
        yield f"  and {len(transfer.videos) - MAX_VIDEOS_SHOWN} more"
    yield from (f"note: {note}" for note in transfer.notes)
    remaining, total = transfer.remaining(config.data_dir), len(transfer.files)
    for file in remaining:
        if file.state(config.data_dir) is FileState.WRONG_SIZE:
            size = (config.data_dir / file.path).stat().st_size
            yield f"note: {file.path} has {size} bytes, not {file.num_bytes}: it will be downloaded again"
    if remaining:
        done = f"{total - len(remaining)} exist already; " if len(remaining) < total else ""
        yield f"to download: {len(remaining)} files, {_size(transfer, remaining)}; {done}{in_bytes(free_bytes)} free"
    else:
        yield "all files exist already"


def _totals(transfer: Any, config: "DownloadConfig") -> str:
    hours = sum(video.hours for video in transfer.videos)
    videos = f"{len(transfer.videos)} videos, {hours:.2f} hours, " if transfer.videos else ""
    if transfer.is_exact:
        basis = "as on S3"
    elif transfer.gb_per_hour:
        basis = f"estimated at {transfer.gb_per_hour:g} GB per hour, as boto3 is not installed"
    else:
        basis = "boto3 is not installed"
    size = _size(transfer, transfer.files)
    return f"{transfer.dataset} of Ego4D {config.version}: {videos}{len(transfer.files)} files, {size} ({basis})"


def _size(transfer: Any, files: Any) -> str:
    if transfer.is_exact:
        return in_bytes(transfer.size(files))
    return f"about {in_bytes(transfer.size(files))}" if transfer.gb_per_hour else "unknown size"
