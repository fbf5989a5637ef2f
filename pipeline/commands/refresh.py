"""The command refresh: take videos out of a cache, so that extract-teacher extracts their files as they are now."""

from pathlib import Path

import click

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.removal import DRY_RUN, VIDEO, VIDEOS, YES, chosen_videos, run_removal
from embedonce.pipeline.console.next_commands import extract_line
from embedonce.pipeline.settings import shared


@command("refresh", shared.CACHE_DIR.named("cache_dir", Path), VIDEO, VIDEOS, DRY_RUN, YES)
def refresh(cache_dir: Path | str, video: tuple[str, ...], videos: Path | None, dry_run: bool, yes: bool) -> None:
    """Take videos out of a cache; the next extract-teacher extracts their files as they are now.

    For files whose content has changed: the frames of all earlier versions are deleted. A video that was removed for
    good may come back, too. Shows what will be removed and asks.
    """
    uids = chosen_videos(video, videos)
    if not uids:
        raise click.UsageError("give --video or --videos")
    from embedonce.cache.removal import videos_removal

    prepare = videos_removal(uids, is_withdrawal=False)
    summary = run_removal(cache_dir, prepare, "take these videos out?", dry_run=dry_run, yes=yes)
    if not summary.is_done:
        return
    echo(f"{len(summary.removal.videos)} videos were taken out; extract-teacher extracts them again")
    echo(extract_line(cache_dir))
