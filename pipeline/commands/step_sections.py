"""The file of distill --config: a section of options for each of the commands that it runs."""

from collections.abc import Mapping
from pathlib import Path

import click

from embedonce.pipeline.commands.config_option import checked_values, nearest
from embedonce.pipeline.distillation.steps import DECIDED
from embedonce.pipeline.settings.config_files import read_defaults


def read_sections(path: Path | None, commands: Mapping[str, click.Command]) -> dict[str, dict[str, object]]:
    """Name of a command -> its options by name; nothing without a file.

    BadParameter for sections that are no command, options that it does not have, and those that distill decides.
    """
    if path is None:
        return {}
    try:
        sections = {name.replace("_", "-"): values for name, values in read_defaults(path).items()}
    except ValueError as error:
        raise _refused(str(error)) from error
    for name in sections:
        if name not in commands:
            known = ", ".join(commands)
            raise _refused(f"{path} has the section {name[:60]}; there are: {known}{nearest(name, commands)}")
    return {name: _options(f"{path}, section {name},", commands[name], sections[name]) for name in sections}


def _options(place: str, command: click.Command, values: object) -> dict[str, object]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise _refused(f"{place} must hold `option: value` lines, not {str(values)[:60]!r}")
    named = {str(name).replace("-", "_"): value for name, value in values.items()}
    if len(named) < len(values):
        raise _refused(f"{place} sets an option twice, once with _ and once with -")
    for name in (*DECIDED, "dry_run"):
        if name in named:
            raise _refused(f"{place} sets {name}, which distill decides for all steps: leave it out")
    checked = checked_values(command, place, named)
    return {name: value for name, value in checked.items() if value is not None}


def _refused(problem: str) -> click.BadParameter:
    return click.BadParameter(problem, param_hint="--config")
