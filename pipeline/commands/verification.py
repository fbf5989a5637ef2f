"""What verify-cache and repair-cache share: the progress bar, the report of a verification, and the confirmation."""

import sys

import click

from embedonce.cache.verify import Remedy, Report
from embedonce.pipeline.commands.output import echo

MAX_EXTRA_FILES = 20  # named in a report
LABELS = {Remedy.KEEP: "DOUBTFUL", Remedy.MISSING: "MISSING"}  # of problems; the others are DAMAGED


def print_report(report: Report) -> None:
    echo(f"checked {report.num_shards} shards, {report.num_rows} frames, {report.num_bytes / 1e6:.1f} MB")
    for problem in report.problems:
        echo(f"{LABELS.get(problem.remedy, 'DAMAGED')} {problem.message} ({problem.remedy})")
    for path in report.extra[:MAX_EXTRA_FILES]:
        echo(f"extra: {path}: not part of the cache; it is left alone")
    if len(report.extra) > MAX_EXTRA_FILES:
        echo(f"extra: and {len(report.extra) - MAX_EXTRA_FILES} more")


def confirmed(question: str, yes: bool) -> bool:
    """Whether the user agrees; yes: without asking. UsageError if there is no terminal to ask on."""
    if yes:
        return True
    if not _is_terminal():
        raise click.UsageError("nothing was changed: there is no terminal to ask on; run it again with --yes")
    return click.confirm(question)


def _is_terminal() -> bool:
    return sys.stdin.isatty()
