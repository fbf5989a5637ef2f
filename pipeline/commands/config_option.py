"""The --config option: a YAML file of defaults for the options of one command.

Options go by their names or by aliases (`num_classes` for `num_actions`), with `_` or `-`.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from embedonce.cache.errors import some
from embedonce.pipeline.settings.config_files import misfit, read_defaults

_OF_THE_LINE = {"--help", "--config"}  # options that only a command line has


def read_config_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """Make the file's values the defaults of this command; unknown names and values of other types are refused."""
    if path is None:
        return
    try:
        values = read_defaults(path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    defaults = checked_values(ctx.command, str(path), values)
    ctx.default_map = {name: value for name, value in defaults.items() if value is not None}


def checked_values(command: click.Command, place: str, values: Mapping[str, object]) -> dict[str, object]:
    """The values by the names of the command's options. BadParameter for unknown names and values of other types.

    place: where they are, for messages.
    """
    options = _options_by_name(command)
    unknown = [str(name)[:60] for name in sorted(set(values) - set(options))]
    if unknown:
        hint = nearest(unknown[0], options)
        raise click.BadParameter(f"{place} sets {some(unknown, 10)}, which {command.name} does not have{hint}")
    checked: dict[str, object] = {}
    for name, value in values.items():
        option = options[name]
        if option.name in checked:
            raise click.BadParameter(f"{place} sets {option.name} twice, once as {name}")
        _check_type(place, option, value)
        checked[str(option.name)] = value
    return checked


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name that is spelled most like this one, "" if none is."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _options_by_name(command: click.Command) -> dict[str, click.Parameter]:
    params = [param for param in command.get_params(click.Context(command)) if not _OF_THE_LINE & set(param.opts)]
    shown = [param for param in params if not getattr(param, "hidden", False)]
    aliases = {opt.lstrip("-").replace("-", "_"): param for param in shown for opt in param.opts}
    return aliases | {str(param.name): param for param in shown}


def _check_type(place: str, option: click.Parameter, value: object) -> None:
    is_many = getattr(option, "multiple", False) or option.nargs != 1
    if value is not None and (problem := misfit(value, option.type.name, is_many)):
        raise click.BadParameter(f"{place} sets {option.name} to {problem}")
