"""The commands that look after a cache: verify-cache, repair-cache, inspect-cache, convert-cache.

Click only: parse, make one call, say what came of it.
"""

import sys
from functools import partial
from pathlib import Path

import click

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, some
from embedonce.pipeline.commands.common_options import CACHE_DIR, PATH, PATH_OR_NAME, SEED
from embedonce.pipeline.commands.terminal import echo
from embedonce.pipeline.console.next_commands import command, next_line
from embedonce.pipeline.settings.choices import ACTIVATIONS, DEVICES
from embedonce.pipeline.settings.ranges import MAX_COUNT

RECOMPUTED, SHOWN = click.IntRange(1, MAX_COUNT), click.IntRange(1, 100_000)

PAGE = "inspect-cache"  # who makes contact sheets
SHOWN_EXTRA = 20


def _verified(cache_dir: Path, with_pixels: bool):
    from embedonce.cache.verify import verify
    from embedonce.pipeline.frames import canonical_frame as pixels
    from embedonce.pipeline.progress import Progress

    with Progress(None, "verifying", "shards") as progress:
        report = verify(
            cache_dir,
            pixels.replayed_crc32 if with_pixels else None,
            lambda done: progress.update(done - progress.count),
        )
    _show(report)
    return report


def _show(report) -> None:
    from embedonce.cache.verify import Remedy

    echo(f"looked at {report.num_shards} shards, {report.num_rows} frames, {report.num_bytes / 1e6:.1f} MB")
    kinds = {Remedy.KEEP: "DOUBTFUL", Remedy.MISSING: "MISSING"}
    for problem in report.problems:
        echo(f"{kinds.get(problem.remedy, 'DAMAGED')} {problem.message} ({problem.remedy})")
    for path in report.extra[:SHOWN_EXTRA]:
        echo(f"extra: {path}: nothing in the cache says that it is there; it is left alone")
    if len(report.extra) > SHOWN_EXTRA:
        echo(f"extra: and {len(report.extra) - SHOWN_EXTRA} more")


@click.command()
@CACHE_DIR
@click.option(
    "--pixels/--no-pixels",
    default=True,
    show_default=True,
    help="Decode every stored frame and compare its crops with what the teacher saw.",
)
@click.option("--recompute", type=RECOMPUTED, metavar="N", help="Embed N random rows again, by the teacher.")
@click.option(
    "--teacher-weights", type=PATH_OR_NAME, help="With --recompute: the weights. [default: those that the cache names]"
)
@click.option(
    "--teacher-model", type=PATH_OR_NAME, help="With --recompute: the model's configuration file, where it had one."
)
@click.option("--teacher-module", type=PATH, help="With --recompute: Python file that registers the teacher.")
@click.option("--teacher-activation", type=click.Choice(ACTIVATIONS), help="With --recompute: of local weights.")
@click.option("--teacher-preprocess", help="With --recompute: of local weights. [default: as the cache says]")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="With --recompute.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="With --recompute: which rows; of random weights."
)
def verify_cache(cache_dir: Path, pixels: bool, recompute: int | None, **teacher):
    """Prove that a cache is as it was committed: checksums, counts, order, norms, pixels, logits.

    Exit code 4 where anything is damaged.
    """
    report = _verified(cache_dir, pixels)
    if report.problems:
        problems = f"{len(report.problems)} problem{'s' if len(report.problems) > 1 else ''}"
        options = {"cache_dir": cache_dir, "rebuild_plan": report.needs_plan}
        raise DamagedError(f"{problems}; {next_line('repair-cache', options)}", has_advice=True)
    if recompute is not None:
        from embedonce.pipeline.extraction.extract_teacher import recomputed

        cosines = recomputed(cache_dir, recompute, **teacher)
        worst, mean = cosines.min(), cosines.mean()
        echo(f"embedded {len(cosines)} rows again: cosine {worst:.5f} at least, {mean:.5f} in the mean")
    for name, (units, parts) in report.unfinished.items():
        echo(f"label set {name} is not finished: {units} units without logits, {parts} plan parts without clips")
    whole = "what is there" if report.unfinished else "everything"
    echo(f"sound: {whole} is as it was committed")
    if report.num_pending:
        echo(f"{report.num_pending} of {report.num_units} units are not extracted yet")


@click.command()
@CACHE_DIR
@click.option("--yes", is_flag=True, help="Do not ask before files are moved or deleted.")
@click.option("--purge", is_flag=True, help="Delete what earlier repairs moved to removed/ instead of repairing.")
@click.option("--rebuild-plan", is_flag=True, help="Rebuild a missing, damaged or older plan from the commit records.")
def repair_cache(cache_dir: Path, yes: bool, purge: bool, rebuild_plan: bool):
    """Move what is damaged to removed/ inside the cache, so that extract-teacher makes it again.

    Only files that were read and found damaged are moved. Exit code 5, with nothing changed, where a file cannot be
    read at all: check permissions, the disk or the network file system, and run it again. With --rebuild-plan the parts
    of the plan that lack are written anew instead, from what the commit records hold of it.
    """
    from embedonce.cache.verify import Remedy

    if purge and rebuild_plan:
        raise click.UsageError("--purge and --rebuild-plan do different things; give one of them")
    if purge or rebuild_plan:
        (_purge if purge else _rebuild)(cache_dir, yes)
        return
    repaired = _repaired(cache_dir, yes)
    if not repaired.report.problems:
        echo("nothing is damaged: nothing was changed")
        return
    if not repaired.removals:
        _show(repaired.report)
        if all(problem.remedy == Remedy.MISSING for problem in repaired.report.problems):
            raise DamagedError(
                "repair-cache changed nothing: what is missing comes back from a copy, or from the command that made "
                "it (extract-teacher or relabel)",
                has_advice=True,
            )
        options = {"cache_dir": cache_dir, "rebuild_plan": True}
        instead = next_line("repair-cache", options) if repaired.report.needs_plan else "put plan/ back from a copy"
        raise DamagedError(f"repair-cache changed nothing: nothing is proven to be damaged; {instead}", has_advice=True)
    if repaired.folder is None:
        echo("nothing was changed")
        return
    purge_command = command("repair-cache", {"cache_dir": cache_dir, "purge": True})
    echo(f"moved to {repaired.folder}; delete it with: {purge_command}")
    if repaired.report.needs_plan:
        echo(f"the plan is not whole: {next_line('repair-cache', {'cache_dir': cache_dir, 'rebuild_plan': True})}")
        return
    config = cache_dir / "extract_config.yaml"
    if config.is_file():
        echo(next_line("extract-teacher", {"config": config, "cache_dir": cache_dir}))
    else:
        echo("run extract-teacher again as it was run first: the cache does not say with which options")


def _repaired(cache_dir: Path, yes: bool):
    from embedonce.cache.repair import repair
    from embedonce.pipeline.frames import canonical_frame as pixels
    from embedonce.pipeline.progress import Progress

    def confirm(report, removals) -> bool:
        _show(report)
        echo(f"to be moved to {cache_dir / 'removed'}:")
        for removal in removals:
            echo(f"  {removal.reason} ({len(removal.files)} files)")
        return _confirmed("move these files?", yes)

    with Progress(None, "verifying", "shards") as progress:
        return repair(
            cache_dir, pixels.replayed_crc32, confirm, on_progress=lambda done: progress.update(done - progress.count)
        )


def _rebuild(cache_dir: Path, yes: bool) -> None:
    from embedonce.cache.rebuild import rebuild_plan

    def confirm(rebuild) -> bool:
        for line in _rebuild_lines(rebuild):
            echo(line)
        return _confirmed("do this?", yes)

    rebuild = rebuild_plan(cache_dir, confirm)
    if not rebuild.is_needed:
        echo("the plan has every committed unit whose record can be read: nothing was changed")
    elif not rebuild.is_done:
        echo("nothing was changed")
    else:
        moved = f"; what could not be read is in {rebuild.folder}" if rebuild.folder else ""
        echo(f"the plan was rebuilt{moved}")
    if rebuild.unreadable:
        echo(next_line("repair-cache", {"cache_dir": cache_dir}))
    elif rebuild.is_done:
        echo(next_line("verify-cache", {"cache_dir": cache_dir}))


def _rebuild_lines(rebuild):
    """What is to be done about a plan, in words."""
    for path in rebuild.damaged:
        yield f"to be moved to removed/: {path}, which cannot be read"
    for part in reversed(rebuild.parts):
        yield (
            f"to be written: part {part.part:06d} of the plan, {len(part.units)} committed units, "
            f"{len(part.videos)} new videos"
        )
    if rebuild.unreadable:
        yield f"not known: what was planned in {some(rebuild.unreadable)}, for these records are damaged"
    if rebuild.incomplete:
        yield (
            f"{len(rebuild.incomplete)} videos have units that were not committed yet ({some(rebuild.incomplete)}): "
            "the next extract-teacher scans them again and extracts the rest"
        )
    yield "videos of which nothing was committed are not in the records: extract-teacher plans them anew"


def _purge(cache_dir: Path, yes: bool) -> None:
    from embedonce.cache.repair import purge, removed_files

    files = removed_files(cache_dir)
    if not files:
        echo("no repair has moved anything: nothing to delete")
        return
    num_bytes = sum(path.lstat().st_size for path in files)
    echo(f"{cache_dir / 'removed'}: {len(files)} files, {num_bytes / 1e6:.1f} MB")
    if _confirmed("delete them for good?", yes):
        purge(cache_dir)
        echo("deleted")
    else:
        echo("nothing was changed")


def _confirmed(question: str, yes: bool) -> bool:
    """Whether the user agrees. UsageError where nobody can be asked."""
    if yes:
        return True
    if not _is_terminal():
        raise click.UsageError("nothing was changed: there is no terminal to ask on; run it again with --yes")
    return click.confirm(question)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


@click.command()
@CACHE_DIR
@click.option("--html", type=PATH, help="Write a contact sheet: frames with times, classes and the teacher's answers.")
@click.option("--prompts", is_flag=True, help="Print the texts that each class's zero-shot vector was made from.")
@click.option("--label-set", help="Of the contact sheet and the prompts. [default: the only one; all prompts]")
@click.option("--frames", type=SHOWN, default=240, show_default=True, help="On the contact sheet.")
@click.option("--overwrite", is_flag=True, help="Put the contact sheet in the place of any other file.")
def inspect_cache(
    cache_dir: Path, html: Path | None, prompts: bool, label_set: str | None, frames: int, overwrite: bool
):
    """Say what a cache holds."""
    if html is not None:
        _check_page(html, overwrite)
    from embedonce.cache.inspect import prompt_lines, summary
    from embedonce.pipeline.sources.data_summary import cache_tables

    lines = [*summary(cache_dir), *cache_tables(cache_dir)]
    for line in [*lines, *(prompt_lines(cache_dir, label_set) if prompts else ())]:
        echo(line)
    if html is not None:
        from embedonce.cache import commit
        from embedonce.cache.store import open_reader
        from embedonce.pipeline.files.recognition import sealed
        from embedonce.pipeline.reporting.contact_sheet import contact_sheet

        reader = open_reader(cache_dir)
        labels = reader.label_set(label_set) if label_set or len(reader.label_sets()) == 1 else None
        page = contact_sheet(reader, lines, labels, frames)
        _check_page(html, overwrite)  # nobody has put anything there meanwhile
        commit.replace(html, sealed(page.encode("utf-8", "backslashreplace"), PAGE))
        echo(f"contact sheet: {html}")


def _check_page(html: Path, overwrite: bool) -> None:
    """InputError where the file is there and is no contact sheet."""
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.files.recognition import is_sealed

    check_replaceable({html: partial(is_sealed, kind=PAGE)}, overwrite, PAGE, "--html")


@click.command()
@CACHE_DIR
@click.option("--output-dir", type=PATH, required=True, help="Folder of the new cache.")
@click.option("--backend", type=click.Choice(list(BACKENDS)), required=True, help="Shard format of the new cache.")
def convert_cache(cache_dir: Path, output_dir: Path, backend: str):
    """Write a cache again with another shard format: same frames, embeddings and labels.

    May be stopped and run again.
    """
    from embedonce.cache.convert import convert
    from embedonce.pipeline.progress import Progress

    with Progress(None, "converting", "shards") as progress:
        done = convert(cache_dir, output_dir, backend, lambda done, total: progress.update())
    echo(f"{output_dir}: {done} shards written; {next_line('verify-cache', {'cache_dir': output_dir})}")


COMMANDS = (verify_cache, repair_cache, inspect_cache, convert_cache)
