"""The command merge: bring the content of several caches of the same settings into one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.parameter_types import PATH_OR_URL
from embedonce.pipeline.console.next_commands import lacking_lines, next_line
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.settings.options import OUTPUT, Option

DRY_RUN = Option(
    name="dry_run", value_type=bool, default=False, help="Show what would be merged; write nothing.", group=OUTPUT
)
MAX_NAMES = 5  # in a line


@command("merge", DRY_RUN)
@click.argument("caches", nargs=-1, required=True, type=PATH_OR_URL, metavar="CACHE...")
@click.argument("into", type=PATH_OR_URL, metavar="INTO")
def merge(caches: tuple[Path | str, ...], into: Path | str, dry_run: bool) -> None:
    """Add everything in each CACHE to the cache INTO, which is created if it does not exist.

    All are folders or URLs, such as s3://bucket/prefix. Their settings must be the same, except for the shard format.
    Videos that several of them have are kept once. No CACHE is changed. A run that was stopped continues when the same
    command is given again.
    """
    from embedonce.cache.merging.merge import planned_merge
    from embedonce.cache.store import open_reader

    if dry_run:
        _show_and_check(planned_merge(caches, into), into)
        echo("dry run: nothing was written")
        return
    merged = _merged(caches, into)
    echo(
        f"{into}: {merged.num_units} shards with {merged.num_rows} frames and {merged.num_logits} shards of logits "
        f"written; it has {merged.total_videos} videos with {merged.total_rows} frames"
    )
    for name in merged.without_logits:
        echo(f"label set {name}: some frames have no logits, and it has no head to compute them with; use relabel")
    for line in lacking_lines(open_reader(into)):
        echo(line)
    echo(next_line("verify-cache", {"cache_dir": into}))


def _merged(caches: tuple[Path | str, ...], into: Path | str):
    """Merge with a progress bar, after what will be done was shown."""
    from embedonce.cache.merging import merge as merging
    from embedonce.pipeline.progress import Progress

    with contextlib.ExitStack() as shown:
        bars: list[Progress] = []

        def begin(found) -> None:
            _show_and_check(found, into)
            bars.append(shown.enter_context(Progress(found.num_units, "merging", "shards")))

        return merging.merge(caches, into, begin, lambda rows: bars[0].update())


def _show_and_check(found, into: Path | str) -> None:
    """Show what a merge does. StorageError if there is not enough space for it."""
    from embedonce.pipeline.files.disk_space import check_space

    for line in _lines(found, into):
        echo(line)
    check_space(into, found.num_bytes, "merge into another place")


def _lines(found, into: Path | str) -> Iterator[str]:
    """What a merge does, one thing per line."""
    for cache in found.inputs:
        yield f"{cache.name}: {len(cache.committed_uids)} videos with {cache.reader.num_rows} frames"
        if teachers := cache.reader.teachers.names():
            yield f"{cache.name}: added teachers are not merged ({', '.join(teachers)}): run add-teacher on {into}"
    added, state = found.added, "new" if found.is_new else "exists"
    yield (
        f"{into} ({state}): {len(added.videos)} new videos, {len(added.completed)} completed; {found.num_rows} frames "
        f"in {found.num_units} shards, about {in_bytes(found.num_bytes)} with logits"
    )
    yield from _line("in several caches and equal, kept once", sorted(found.shared))
    yield from _line("withdrawn from one of the caches (remove --video), left out", sorted(added.withdrawn))
    if found.withdrawn:
        yield f"withdrawn videos of the caches that {into} leaves out from now on: {len(found.withdrawn)}"
    yield from _line("not extracted completely, left out as far as they are not; finish extract-teacher", found.pending)
    yield from _line("new, with the content of another video", found.copies)
    if added.num_dropped:
        yield f"requested times left out, because {into} has the frames that answer them: {added.num_dropped}"
    if found.num_waiting:
        yield (
            f"shards that {into} has planned and of which the caches have only some frames: {found.num_waiting}; "
            "extract-teacher finishes them"
        )
    yield from _quarantine_lines(found.quarantine, into)
    for united in found.label_sets:
        yield from _label_set_lines(united)


def _quarantine_lines(changes, into: Path | str) -> Iterator[str]:
    yield from _line("in quarantine, carried over", sorted(changes.carried))
    yield from _line("taken out of quarantine, because another cache has them", changes.released)
    advice = f"in quarantine of {into}, which has finished shards without them; refresh them there and merge again"
    yield from _line(advice, changes.blocked)


def _label_set_lines(united) -> Iterator[str]:
    labels = united.labels
    state = "new, " if united.is_new else ""
    logits = ", logits computed when read" if labels.computes_logits else ""
    yield f"label set {labels.name}: {state}{len(labels.classes)} classes, {united.num_new} new clips{logits}"
    if united.without:
        yield (
            f"label set {labels.name}: not in {', '.join(united.without)}, so videos that are only there get no clips "
            "in it; label them with relabel"
        )


def _line(what: str, uids) -> Iterator[str]:
    """A line with the number of videos and the first of them; none if there are no videos."""
    names = list(uids)
    if names:
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        yield f"videos {what}: {len(names)} ({', '.join(names[:MAX_NAMES])}{more})"
