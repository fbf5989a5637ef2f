"""The --config option: a YAML file of defaults for the options of one command.

Options go by their names or by aliases (`num_classes` for `num_actions`), with `_` or `-`.
"""

from pathlib import Path

import click

from embedonce.cache.errors import some
from embedonce.pipeline.settings.config_files import misfit, read_defaults


def read_config_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """Make the file's values the defaults of this command; unknown names and values of other types are refused."""
    if path is None:
        return
    try:
        values = read_defaults(path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    options = _options_by_name(ctx)
    unknown = [str(name)[:60] for name in sorted(set(values) - set(options))]
    if unknown:
        raise click.BadParameter(f"{path} sets {some(unknown, 10)}, which {ctx.info_name} does not have")
    defaults: dict[str, object] = {}
    for name, value in values.items():
        option = options[name]
        if option.name in defaults:
            raise click.BadParameter(f"{path} sets {option.name} twice, once as {name}")
        _check_type(path, option, value)
        defaults[str(option.name)] = value
    ctx.default_map = {name: value for name, value in defaults.items() if value is not None}


def _options_by_name(ctx: click.Context) -> dict[str, click.Parameter]:
    params = [param for param in ctx.command.get_params(ctx) if param.name != "help"]
    shown = [param for param in params if not getattr(param, "hidden", False)]
    aliases = {opt.lstrip("-").replace("-", "_"): param for param in shown for opt in param.opts}
    return aliases | {str(param.name): param for param in shown}


def _check_type(path: Path, option: click.Parameter, value: object) -> None:
    is_many = getattr(option, "multiple", False) or option.nargs != 1
    if value is not None and (problem := misfit(value, option.type.name, is_many)):
        raise click.BadParameter(f"{path} sets {option.name} to {problem}")
