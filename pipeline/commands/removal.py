"""What remove and refresh share: options that name videos, the list of what will be removed, and the confirmation."""

from collections.abc import Iterator
from pathlib import Path

import click

from embedonce.cache.removal_document import Removal
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.verification import confirmed
from embedonce.pipeline.settings.options import CACHE, DATA, OUTPUT, RUNTIME, Option

VIDEO = Option(
    name="video", help="Uid of a video; may be given several times.", group=DATA, metavar="UID", is_multiple=True
)
VIDEOS = Option(
    name="videos",
    value_type=Path,
    help="File of uids, one per line; lines that begin with # are skipped.",
    group=DATA,
    must_exist=True,
)
LABEL_SET = Option(name="label_set", help="Label set to remove, in place of videos.", group=CACHE)
TEACHER_NAME = Option(name="teacher", help="Added teacher to remove, in place of videos.", group=CACHE)
DRY_RUN = Option(
    name="dry_run", value_type=bool, default=False, help="Show what would be removed; do nothing.", group=OUTPUT
)
YES = Option(
    name="yes", value_type=bool, default=False, help="Skip the confirmation before anything is removed.", group=RUNTIME
)
NOTHING_CHANGED = "nothing was changed"
MAX_VIDEOS = 20  # named in the list


def chosen_videos(video: tuple[str, ...], videos: Path | None) -> list[str]:
    """The uids that the two options give. UsageError if there are none, or the file is not text."""
    listed: list[str] = []
    if videos is not None:
        try:
            listed = videos.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise click.UsageError(f"--videos {videos} is not a text file in UTF-8") from error
    uids = [*video, *(line.strip() for line in listed if line.strip() and not line.lstrip().startswith("#"))]
    if videos is not None and not uids:
        raise click.UsageError(f"--videos {videos} lists no video")
    return uids


def run_removal(cache_dir: Path | str, prepare, question: str, *, dry_run: bool, yes: bool):
    """Show what will be removed, ask, and remove it; returns the summary. prepare: as in cache.removal."""
    from embedonce.cache.removal import planned, remove
    from embedonce.pipeline.progress import Progress

    if dry_run:
        summary = planned(cache_dir, prepare)
        _print(summary)
        echo(f"dry run: {NOTHING_CHANGED}")
        return summary

    def confirm(summary) -> bool:
        _print(summary)
        return confirmed(question, yes)

    with Progress(None, "removing", "shards") as progress:
        summary = remove(cache_dir, prepare, confirm, progress.update)
    if not summary.is_done:
        if not summary.is_needed:
            _print(summary)
        echo(NOTHING_CHANGED)
    return summary


def _print(summary) -> None:
    for line in _lines(summary):
        echo(line)


def _lines(summary) -> Iterator[str]:
    """What a removal does, one thing per line."""
    if summary.interrupted is not None:
        yield f"an earlier removal was interrupted and is finished first: {_what(summary.interrupted)}"
    for uid in summary.gone:
        yield f"video {uid}: was removed from this cache before"
    for video in summary.videos[:MAX_VIDEOS]:
        state = f", in quarantine ({video.reason})" if video.reason else ""
        yield (
            f"video {video.uid} ({video.source}): {video.num_rows} frames in {video.num_units} shards, "
            f"{video.num_clips} clips{state}"
        )
    if len(summary.videos) > MAX_VIDEOS:
        yield f"and {len(summary.videos) - MAX_VIDEOS} more videos"
    for name, shards in summary.label_sets:
        yield f"label set {name}: its classes, clips and {shards} shards of logits"
    for name, shards in summary.teachers:
        yield f"added teacher {name}: its identity and {shards} shards of embeddings"
    if summary.num_rewritten:
        yield (
            f"{summary.num_rewritten} shards are written again without these videos: about "
            f"{summary.num_bytes / 1e6:.1f} MB"
        )
    if summary.num_moved and summary.is_needed:
        yield f"removed/: {summary.num_moved} files that repairs moved there are deleted, too"


def _what(removal: Removal) -> str:
    if removal.teachers:
        return f"added teachers {', '.join(removal.teachers)}"
    return f"label sets {', '.join(removal.label_sets)}" if removal.label_sets else f"{len(removal.videos)} videos"
