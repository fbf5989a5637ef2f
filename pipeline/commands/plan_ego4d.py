"""The command plan-ego4d: count what an Ego4D download contains and what extracting it takes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from embedonce.pipeline.commands.click_options import GroupedOption, build_config, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.commands.parameter_types import PATH
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.settings.options import OUTPUT, Option

OVERWRITE = Option(
    name="overwrite",
    value_type=bool,
    default=False,
    help="Replace the file of --json even if plan-ego4d did not write it.",
    group=OUTPUT,
)


@command("plan-ego4d", OVERWRITE, settings=PlanConfig)
@click.option(
    "--json", "output", cls=GroupedOption, group=OUTPUT, type=PATH, help="Write all counts to this JSON file."
)
def plan_ego4d(output: Path | None, overwrite: bool, **options: Any) -> None:
    """Count what an Ego4D download contains and what extracting it takes.

    Reads annotations and headers: videos present, missing, redacted, stereo, shorter than listed; clips per class and
    split; frames and space. Without --annotations, all kinds of annotations in the folder are counted.
    """
    config = build_config(PlanConfig, options)
    from embedonce.pipeline.extraction.plan_ego4d import plan

    if output is not None:
        _check_replaceable(output, overwrite)
    planned = plan(config)
    for line in planned.lines:
        echo(line)
    if output is not None:
        from embedonce.cache import commit

        _check_replaceable(output, overwrite)  # the file may have appeared in the meantime
        commit.replace(output, json.dumps(planned.document, indent=1).encode())
        echo(f"counts: {output}")


def _check_replaceable(output: Path, overwrite: bool) -> None:
    """InputError if the file exists and does not hold counts of plan-ego4d."""
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.files.recognition import is_object

    is_plan = partial(is_object, keys=("kinds", "videos", "fps", "views", "frames", "bytes", "short"))
    check_replaceable({output: is_plan}, overwrite, "plan-ego4d", "--json")
