"""The command compare: a table of several students."""

from typing import Any

import click

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.commands.parameter_types import PATH
from embedonce.pipeline.evaluation.settings import CompareConfig


@command("compare", settings=CompareConfig)
@click.argument("evaluations", nargs=-1, type=PATH, metavar="EVALUATION...")
def compare(**options: Any) -> None:
    """Compare students: print a table; write comparison.csv, .json and .png.

    Each EVALUATION is an evaluation_results.json, a folder that contains one, or a student checkpoint (.pt).
    Checkpoints are evaluated first, into sub-folders of --output-dir, with the other options.
    """
    config = build_config(CompareConfig, options)
    from embedonce.pipeline.evaluation import compare as comparison
    from embedonce.pipeline.reporting.console import students_table

    show(students_table(comparison.compare(config)))
    echo(f"results: {config.output_dir / 'comparison.json'}, comparison.csv")
    echo(f"plot:    {config.output_dir / 'comparison.png'}")
