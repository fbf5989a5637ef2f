"""The command verify-cache: check a cache against what was committed."""

from pathlib import Path
from typing import Any

from embedonce.cache.errors import DamagedError
from embedonce.cache.verify import Report
from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.error_reporting import DetailedError
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.verification import print_report
from embedonce.pipeline.console.next_commands import add_teacher_line, next_line
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.options import RUNTIME, TEACHER, Option

PIXELS = Option(
    name="pixels",
    value_type=bool,
    default=True,
    help="Decode every stored frame and compare its crops with the checksums of the teacher's inputs.",
    group=RUNTIME,
)
RECOMPUTE = Option(
    name="recompute",
    value_type=int,
    metavar="N",
    help="Embed N random rows again with the teacher and compare them.",
    group=TEACHER,
    range=ranges.COUNT,
)
WITH_RECOMPUTE = (
    shared.TEACHER_WEIGHTS.named("teacher_weights"),
    shared.TEACHER_MODEL.named("teacher_model"),
    shared.TEACHER_MODULE.named("teacher_module", Path),
    shared.TEACHER_ONNX.named("teacher_onnx", Path),
    shared.TEACHER_TORCHSCRIPT.named("teacher_torchscript", Path),
    shared.TEACHER_ACTIVATION.named("teacher_activation"),
    shared.TEACHER_PREPROCESS.named("teacher_preprocess"),
    shared.DEVICE.named("device", help="Device for --recompute."),
    shared.SEED.named("seed", int, help="Seed for the rows of --recompute, and for random weights."),
)


@command("verify-cache", shared.CACHE_DIR.named("cache_dir", Path), PIXELS, RECOMPUTE, *WITH_RECOMPUTE)
def verify_cache(cache_dir: Path | str, pixels: bool, recompute: int | None, **teacher: Any) -> None:
    """Verify a cache: checksums, counts, order, norms, pixels, logits.

    Exit code 4 if anything is damaged. The options of the teacher are for --recompute.
    """
    report = _verified(cache_dir, pixels)
    if report.problems:
        problems = f"{len(report.problems)} problem{'s' if len(report.problems) > 1 else ''}"
        options = {"cache_dir": cache_dir, "rebuild_plan": report.needs_plan}
        raise DetailedError(f"{problems}; {next_line('repair-cache', options)}", DamagedError.exit_code)
    if recompute is not None:
        from embedonce.pipeline.extraction.extract_teacher import recomputed

        cosines = recomputed(cache_dir, recompute, **teacher)
        worst, mean = cosines.min(), cosines.mean()
        echo(f"embedded {len(cosines)} rows again: cosine {worst:.5f} at least, {mean:.5f} on average")
    for name, (units, parts) in report.unfinished.items():
        echo(f"label set {name} is not finished: {units} units without logits, {parts} plan parts without clips")
    for name, units in report.uncovered.items():
        left = f"{units} of {report.num_committed} units are not embedded yet"
        echo(f"teacher {name}: {left}; {add_teacher_line(cache_dir, name)}")
    checked = "everything written so far" if report.unfinished or report.uncovered else "everything"
    echo(f"sound: {checked} is as it was committed")
    if report.num_pending:
        echo(f"{report.num_pending} of {report.num_units} units are not extracted yet")


def _verified(cache_dir: Path | str, with_pixels: bool) -> Report:
    """The report of a verification, printed already."""
    from embedonce.cache.verify import verify
    from embedonce.pipeline.frames.canonical_frame import replayed_crc32
    from embedonce.pipeline.progress import Progress

    with Progress(None, "verifying", "shards") as progress:
        report = verify(
            cache_dir,
            replayed_crc32 if with_pixels else None,
            lambda done: progress.update(done - progress.count),
        )
    print_report(report)
    return report
