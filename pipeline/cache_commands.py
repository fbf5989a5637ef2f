"""The commands that look after a cache: verify-cache, repair-cache, inspect-cache, convert-cache.

Click only: parse, make one call, say what came of it.
"""

from pathlib import Path

import click

from cache.errors import DamagedError
from cache.layout import BACKENDS
from pipeline.common_options import CACHE_DIR, PATH
from pipeline.config import ACTIVATIONS, DEVICES
from pipeline.next_commands import next_line


def _verified(cache_dir: Path, with_pixels: bool):
    from cache.verify import verify
    from pipeline import pixels
    from pipeline.progress import Progress

    with Progress(None, "verifying", "shards") as progress:
        report = verify(
            cache_dir,
            pixels.replayed_crc32 if with_pixels else None,
            lambda done: progress.update(done - progress.count),
        )
    click.echo(f"looked at {report.num_shards} shards, {report.num_rows} frames, {report.num_bytes / 1e6:.1f} MB")
    for problem in report.problems:
        click.echo(f"DAMAGED {problem.message} ({problem.remedy})")
    return report


@click.command()
@CACHE_DIR
@click.option(
    "--pixels/--no-pixels",
    default=True,
    show_default=True,
    help="Decode every stored frame and compare its crops with what the teacher saw.",
)
@click.option("--recompute", type=click.IntRange(min=1), metavar="N", help="Embed N random rows again, by the teacher.")
@click.option("--teacher-weights", help="With --recompute: the weights. [default: those that the cache names]")
@click.option("--teacher-model", help="With --recompute: the model's configuration file, where it had one.")
@click.option("--teacher-activation", type=click.Choice(ACTIVATIONS), help="With --recompute: of local weights.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="With --recompute.")
@click.option("--seed", type=int, default=0, show_default=True, help="With --recompute: which rows; of random weights.")
def verify_cache(cache_dir: Path, pixels: bool, recompute: int | None, **teacher):
    """Prove that a cache is as it was committed: checksums, counts, order, norms, pixels, logits.

    Exit code 4 where anything is damaged.
    """
    report = _verified(cache_dir, pixels)
    if report.problems:
        problems = f"{len(report.problems)} problem{'s' if len(report.problems) > 1 else ''}"
        raise DamagedError(f"{problems}; {next_line('repair-cache', {'cache_dir': cache_dir})}")
    if recompute is not None:
        from pipeline.stage_one import recomputed

        cosines = recomputed(cache_dir, recompute, **teacher)
        worst, mean = cosines.min(), cosines.mean()
        click.echo(f"embedded {len(cosines)} rows again: cosine {worst:.5f} at least, {mean:.5f} in the mean")
    click.echo("sound: everything is as it was committed")
    if report.num_pending:
        click.echo(f"{report.num_pending} of {report.num_units} units are not extracted yet")


@click.command()
@CACHE_DIR
def repair_cache(cache_dir: Path):
    """Take out exactly what is damaged, so that extract-teacher makes it again."""
    from cache.repair import repair

    report = _verified(cache_dir, with_pixels=True)
    for line in repair(cache_dir, report):
        click.echo(line)
    if not report.problems:
        click.echo("nothing is damaged: nothing was changed")
        return
    config = cache_dir / "extract_config.yaml"
    if config.is_file():
        click.echo(next_line("extract-teacher", {"config": config, "cache_dir": cache_dir}))
    else:
        click.echo("run extract-teacher again as it was run first: the cache does not say with which options")


@click.command()
@CACHE_DIR
@click.option("--html", type=PATH, help="Write a contact sheet: frames with times, classes and the teacher's answers.")
@click.option("--label-set", help="Of the contact sheet. [default: the only one]")
@click.option("--frames", type=click.IntRange(min=1), default=240, show_default=True, help="On the contact sheet.")
def inspect_cache(cache_dir: Path, html: Path | None, label_set: str | None, frames: int):
    """Say what a cache holds."""
    from cache.inspect import summary

    lines = summary(cache_dir)
    for line in lines:
        click.echo(line.encode("utf-8", "backslashreplace").decode())
    if html is not None:
        from cache import commit
        from cache.store import open_reader
        from pipeline.contact_sheet import contact_sheet

        reader = open_reader(cache_dir)
        labels = reader.label_set(label_set) if label_set or len(reader.label_sets()) == 1 else None
        page = contact_sheet(reader, lines, labels, frames)
        commit.replace(html, page.encode("utf-8", "backslashreplace"))
        click.echo(f"contact sheet: {html}")


@click.command()
@CACHE_DIR
@click.option("--output-dir", type=PATH, required=True, help="Folder of the new cache.")
@click.option("--backend", type=click.Choice(list(BACKENDS)), required=True, help="Shard format of the new cache.")
def convert_cache(cache_dir: Path, output_dir: Path, backend: str):
    """Write a cache again with another shard format: same frames, embeddings and labels.

    May be stopped and run again.
    """
    from cache.convert import convert
    from pipeline.progress import Progress

    with Progress(None, "converting", "shards") as progress:
        done = convert(cache_dir, output_dir, backend, lambda done, total: progress.update())
    click.echo(f"{output_dir}: {done} shards written; {next_line('verify-cache', {'cache_dir': output_dir})}")


COMMANDS = (verify_cache, repair_cache, inspect_cache, convert_cache)
