"""The command remove: take videos, a label set, or an added teacher out of a cache for good."""

from pathlib import Path

import click

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.removal import (
    DRY_RUN,
    LABEL_SET,
    TEACHER_NAME,
    VIDEO,
    VIDEOS,
    YES,
    chosen_videos,
    run_removal,
)
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.settings import shared


@command("remove", shared.CACHE_DIR.named("cache_dir", Path), VIDEO, VIDEOS, LABEL_SET, TEACHER_NAME, DRY_RUN, YES)
def remove(
    cache_dir: Path | str,
    video: tuple[str, ...],
    videos: Path | None,
    label_set: str | None,
    teacher: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove videos from a cache for good, or a label set, or an added teacher.

    Frames, embeddings, logits, clips and names of the videos are deleted, and extract-teacher leaves their files out
    from then on (refresh takes that back). Shows what will be removed and asks. A run that was stopped is finished by
    the next command that writes this cache.
    """
    uids = chosen_videos(video, videos)
    if sum(map(bool, (uids, label_set, teacher))) != 1:
        raise click.UsageError("give --video or --videos, or else --label-set, or else --teacher")
    from embedonce.cache.removal import label_set_removal, teacher_removal, videos_removal

    prepare = videos_removal(uids, is_withdrawal=True)
    if label_set or teacher:
        prepare = label_set_removal(label_set) if label_set else teacher_removal(teacher or "")
    summary = run_removal(cache_dir, prepare, "remove this permanently?", dry_run=dry_run, yes=yes)
    if not summary.is_done:
        return
    if label_set or teacher:
        echo(f"label set {label_set} was removed" if label_set else f"added teacher {teacher} was removed")
        return
    rows = sum(removed.num_rows for removed in summary.videos)
    echo(f"{len(summary.videos)} videos with {rows} frames were removed; extract-teacher leaves their files out")
    echo("not changed: students and heads that were trained with them, exports, backups and copies of this cache")
    echo(next_line("verify-cache", {"cache_dir": cache_dir}))
