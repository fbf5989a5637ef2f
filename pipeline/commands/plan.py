"""The command plan: show the clips by class and split, and what is odd about the data, before anything runs."""

from typing import Any

import click

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.extraction.plan_settings import DataPlanConfig


@command("plan", settings=DataPlanConfig)
def plan(**options: Any) -> None:
    """Count the clips of your data by class and split, before anything runs.

    Reads names and tables, opens no video and loads no teacher. What extract-teacher would refuse, it refuses, with all
    problems of a table in one list.
    """
    config = build_config(DataPlanConfig, options)
    if config.data_dir is None and config.manifest is None:
        raise click.UsageError("no data: name a folder with --data-dir, or a table of clips with --manifest")
    from embedonce.pipeline.extraction.data_plan import plan_data

    for line in plan_data(config):
        echo(line)
