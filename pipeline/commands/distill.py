"""The command distill: extract, train, evaluate and export in turn."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from embedonce.cache.command_lines import program
from embedonce.pipeline.commands.click_options import GroupedOption, build_config, command
from embedonce.pipeline.commands.error_reporting import DetailedUsageError
from embedonce.pipeline.commands.evaluate import evaluate
from embedonce.pipeline.commands.export_student import export_student
from embedonce.pipeline.commands.extract_teacher import NO_INPUT, extract_teacher
from embedonce.pipeline.commands.output import echo, show, tell
from embedonce.pipeline.commands.parameter_types import EXISTING_FILE
from embedonce.pipeline.commands.step_sections import read_sections
from embedonce.pipeline.commands.train_student import train_student
from embedonce.pipeline.distillation.request import Request
from embedonce.pipeline.distillation.steps import (
    EVALUATE,
    EXPORT,
    EXTRACT,
    SETTINGS,
    TRAIN,
    DistillOptions,
    Step,
    by_step,
)
from embedonce.pipeline.errors import EXIT_QUARANTINED
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.processes.waiting_threads import let_waiting_threads_sleep
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import OUTPUT, RUNTIME, Option

UNDER_TORCHRUN = "distill runs in one process: run its steps one by one, and only train-student under torchrun"
EXAMPLES = (
    "  {} distill --data-dir my_videos",
    "  {} distill --manifest clips.csv",
    "  {} distill --use-synthetic --teacher-size demo",
)
COMMANDS = {EXTRACT: extract_teacher, TRAIN: train_student, EVALUATE: evaluate, EXPORT: export_student}
CHOSEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
OWN = (
    shared.OUTPUT_DIR.named("output_dir", Path),
    shared.CACHE_DIR.named("cache_dir", Path, default=None, default_text="teacher_cache in --output-dir"),
    Option(
        name="overwrite",
        value_type=bool,
        default=False,
        help="Replace a student of other settings, its evaluation and its export; never a cache.",
        group=OUTPUT,
    ),
    Option(
        name="dry_run",
        value_type=bool,
        default=False,
        help="Print the commands, and what extract-teacher would do; do nothing.",
        group=OUTPUT,
    ),
)
SECTIONS = GroupedOption(
    ["sections", "--config"],
    type=EXISTING_FILE,
    help="YAML file with further options of the steps, in sections named after their commands.",
    group=RUNTIME,
)


@command("distill", *OWN, settings=DistillOptions, config_option=SECTIONS)
@click.pass_context
def distill(ctx: click.Context, dry_run: bool, sections: Path | None, **options: Any) -> None:
    """Extract, train, evaluate and export in one command.

    Runs extract-teacher, train-student, evaluate and export-student, and prints each command. Steps that are done are
    skipped, and a run that was stopped continues when the same command is given again. Exit code 3: finished, but some
    videos could not be used.
    """
    given = {name: value for name, value in options.items() if ctx.get_parameter_source(name) in CHOSEN}
    request = _request(given, options["output_dir"], read_sections(sections, COMMANDS))
    for step in request.steps():
        _settings(step)  # mistakes are found before anything runs
    extraction = request.extraction()
    if not {"data_dir", "manifest", "use_synthetic"} & extraction.options.keys():
        raise DetailedUsageError(NO_INPUT, [line.format(program()) for line in EXAMPLES])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError(UNDER_TORCHRUN)
    keep_freed_memory()
    let_waiting_threads_sleep()
    if dry_run:
        _show_plan(request)
        return
    from embedonce.pipeline.distillation.distill import Commands
    from embedonce.pipeline.distillation.distill import distill as run_steps

    result = run_steps(request, Commands(_settings, lambda step: _run(ctx, step), echo))
    for line in result.lines(request):
        echo(line)
    ctx.exit(result.exit_code)


def _request(given: dict[str, Any], output_dir: Path, sections: Mapping[str, Mapping[str, Any]]) -> Request:
    """given: options of the command line, which precede those of the sections."""
    overwrite = bool(given.pop("overwrite", False))
    given.pop("output_dir", None)
    given.pop("dry_run", None)
    cache_dir = given.pop("cache_dir", None) or output_dir / "teacher_cache"
    options = {name: {**sections.get(name, {}), **chosen} for name, chosen in by_step(given).items()}
    return Request(cache_dir, output_dir, options, overwrite)


def _settings(step: Step) -> Any:
    """The settings of a step, as its command would make them. Usage errors name the step."""
    made = COMMANDS[step.name]
    with made.make_context(step.name, list(step.words), resilient_parsing=False) as ctx:
        names = {option.name for option in SETTINGS[step.name].options()}
        return build_config(SETTINGS[step.name], {name: v for name, v in ctx.params.items() if name in names})


def _run(ctx: click.Context, step: Step) -> int:
    """Run a step in this process; its exit code. Its errors are raised, after a line that says where it went wrong."""
    made = COMMANDS[step.name]
    try:
        with made.make_context(step.name, list(step.words), parent=ctx) as inner:
            made.invoke(inner)
    except click.exceptions.Exit as end:
        if end.exit_code not in (0, EXIT_QUARANTINED):
            raise
        return end.exit_code
    except Exception:
        tell(f"distill: {step.name} failed; the same command continues there")
        raise
    return 0


def _show_plan(request: Request) -> None:
    """Print the commands, and the dry run of the extraction."""
    for step in request.steps():
        echo(f"$ {step.line}")
    config = _settings(request.extraction())
    if config.use_synthetic:
        echo("synthetic videos are generated by the run: there is nothing to survey yet")
        return
    from embedonce.pipeline.extraction import extract_teacher as extraction

    show(extraction.dry_run(config))
