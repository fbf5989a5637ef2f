"""The command repair-cache: move damaged parts out of a cache, delete what was moved, or rebuild the plan."""

from collections.abc import Iterator
from pathlib import Path

import click

from embedonce.cache.errors import DamagedError, some
from embedonce.cache.rebuild import Rebuild
from embedonce.cache.repair import Repair
from embedonce.cache.stores.registry import stored_path
from embedonce.cache.verify import Remedy, Report
from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.error_reporting import DetailedError
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.verification import confirmed, print_report
from embedonce.pipeline.console.next_commands import add_teacher_line, extract_line, next_line
from embedonce.pipeline.console.next_commands import command as command_line
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import CACHE, RUNTIME, Option

NOTHING_CHANGED = "nothing was changed"
YES = Option(
    name="yes",
    value_type=bool,
    default=False,
    help="Skip the confirmation before files are moved or deleted.",
    group=RUNTIME,
)
PURGE = Option(
    name="purge",
    value_type=bool,
    default=False,
    help="Instead of repairing, delete what earlier repairs moved to removed/.",
    group=CACHE,
)
REBUILD_PLAN = Option(
    name="rebuild_plan",
    value_type=bool,
    default=False,
    help="Instead of repairing, rebuild a missing, damaged or outdated plan from the commit records.",
    group=CACHE,
)


@command("repair-cache", shared.CACHE_DIR.named("cache_dir", Path), PURGE, REBUILD_PLAN, YES)
def repair_cache(cache_dir: Path | str, yes: bool, purge: bool, rebuild_plan: bool) -> None:
    """Move damaged parts to removed/ inside the cache, and say what makes them again.

    Only files that were read and found damaged are moved. Exit code 5, with nothing changed, if a file cannot be read
    at all: check permissions, the disk or the network file system, and run the command again. With --rebuild-plan,
    missing parts of the plan are written from the commit records instead.
    """
    if purge and rebuild_plan:
        raise click.UsageError("--purge and --rebuild-plan exclude each other; give one of them")
    if purge or rebuild_plan:
        (_purge if purge else _rebuild)(cache_dir, yes)
        return
    repaired = _repaired(cache_dir, yes)
    if not repaired.report.problems:
        echo(f"nothing is damaged: {NOTHING_CHANGED}")
    elif not repaired.removals:
        print_report(repaired.report)
        raise _nothing_to_move(cache_dir, repaired.report)
    elif repaired.folder is None:
        echo(NOTHING_CHANGED)
    else:
        _print_next_steps(cache_dir, repaired)


def _repaired(cache_dir: Path | str, yes: bool) -> Repair:
    from embedonce.cache.repair import repair
    from embedonce.pipeline.frames.canonical_frame import replayed_crc32
    from embedonce.pipeline.progress import Progress

    def confirm(report, removals) -> bool:
        print_report(report)
        echo(f"to be moved to {stored_path(cache_dir) / 'removed'}:")
        for removal in removals:
            echo(f"  {removal.reason} ({len(removal.files)} files)")
        return confirmed("move these files?", yes)

    with Progress(None, "verifying", "shards") as progress:
        return repair(
            cache_dir, replayed_crc32, confirm, on_progress=lambda done: progress.update(done - progress.count)
        )


def _nothing_to_move(cache_dir: Path | str, report: Report) -> DetailedError:
    """The error for a cache that has problems, but no file that was proven to be damaged."""
    if all(problem.remedy == Remedy.MISSING for problem in report.problems):
        message = (
            "repair-cache changed nothing: restore the missing files from a backup, or run the command that made them "
            "(extract-teacher, add-teacher or relabel)"
        )
        return DetailedError(message, DamagedError.exit_code)
    if broken := [problem.teacher for problem in report.problems if problem.teacher and problem.remedy == Remedy.NONE]:
        remedy = f"restore teacher.json from a backup, or remove the teacher: remove --teacher {broken[0]}"
        return DetailedError(f"repair-cache changed nothing: {remedy}", DamagedError.exit_code)
    rebuild = next_line("repair-cache", {"cache_dir": cache_dir, "rebuild_plan": True})
    remedy = rebuild if report.needs_plan else "restore plan/ from a backup"
    message = f"repair-cache changed nothing: no file is proven to be damaged; {remedy}"
    return DetailedError(message, DamagedError.exit_code)


def _print_next_steps(cache_dir: Path | str, repaired: Repair) -> None:
    purge = command_line("repair-cache", {"cache_dir": cache_dir, "purge": True})
    echo(f"moved to {repaired.folder}; delete it with: {purge}")
    if repaired.report.needs_plan:
        echo(f"the plan is incomplete: {next_line('repair-cache', {'cache_dir': cache_dir, 'rebuild_plan': True})}")
        return
    problems = repaired.report.problems
    remedies = {problem.remedy for problem in problems}
    for name in sorted({problem.teacher or "" for problem in problems if problem.remedy == Remedy.REDO_COLUMN}):
        echo(add_teacher_line(cache_dir, name))
    for name in sorted({problem.label_set or "" for problem in problems if problem.remedy == Remedy.REDO_TEXTS}):
        echo(f"texts of label set {name}: run the relabel command that made it again, with --embed-texts")
    if not remedies.isdisjoint({Remedy.REDO_UNIT, Remedy.REDO_LOGITS, Remedy.FORGET}):
        echo(extract_line(cache_dir))


def _rebuild(cache_dir: Path | str, yes: bool) -> None:
    from embedonce.cache.rebuild import rebuild_plan

    def confirm(rebuild) -> bool:
        for line in _rebuild_lines(rebuild):
            echo(line)
        return confirmed("do this?", yes)

    rebuild = rebuild_plan(cache_dir, confirm)
    if not rebuild.is_needed:
        echo(f"the plan is complete: it includes all committed units whose records can be read; {NOTHING_CHANGED}")
    elif not rebuild.is_done:
        echo(NOTHING_CHANGED)
    else:
        moved = f"; unreadable files were moved to {rebuild.folder}" if rebuild.folder else ""
        echo(f"the plan was rebuilt{moved}")
    if rebuild.unreadable:
        echo(next_line("repair-cache", {"cache_dir": cache_dir}))
    elif rebuild.is_done:
        echo(next_line("verify-cache", {"cache_dir": cache_dir}))


def _rebuild_lines(rebuild: Rebuild) -> Iterator[str]:
    """The changes that rebuilding the plan makes, one per line."""
    for path in rebuild.damaged:
        yield f"to be moved to removed/: {path}, which cannot be read"
    for part in reversed(rebuild.parts):
        yield (
            f"to be written: part {part.part:06d} of the plan, {len(part.units)} committed units, "
            f"{len(part.videos)} new videos"
        )
    if rebuild.unreadable:
        yield f"unknown: the plan of {some(rebuild.unreadable)}, whose records are damaged"
    if rebuild.incomplete:
        yield (
            f"{len(rebuild.incomplete)} videos have units that were not committed yet ({some(rebuild.incomplete)}): "
            "the next extract-teacher scans them again and extracts the rest"
        )
    yield "videos without any committed unit are not in the records: extract-teacher plans them again"


def _purge(cache_dir: Path | str, yes: bool) -> None:
    from embedonce.cache.repair import num_bytes_of, purge, removed_files

    files = removed_files(cache_dir)
    if not files:
        echo("no repair has moved anything: nothing to delete")
        return
    megabytes = sum(map(num_bytes_of, files)) / 1e6
    echo(f"{stored_path(cache_dir) / 'removed'}: {len(files)} files, {megabytes:.1f} MB")
    if confirmed("delete them permanently?", yes):
        purge(cache_dir)
        echo("deleted")
    else:
        echo(NOTHING_CHANGED)
