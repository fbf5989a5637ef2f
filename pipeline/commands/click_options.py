"""Click options made from declarations of settings, and commands whose help shows them in groups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from embedonce.pipeline.commands.completed_values import completed
from embedonce.pipeline.commands.config_option import read_config_file
from embedonce.pipeline.commands.logging_options import DEBUG, VERBOSE, logged, remember
from embedonce.pipeline.commands.parameter_types import (
    EXISTING_FILE,
    PATH,
    PATH_OR_NAME,
    PATH_OR_URL,
    FiniteRange,
    NumberOrWord,
    RegistryChoice,
)
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import GROUPS, RUNTIME, Option
from embedonce.pipeline.settings.ranges import Range

_RANGE_METAVARS = {int: "INTEGER", float: "FLOAT"}  # in place of click's INTEGER RANGE
AnySettings = TypeVar("AnySettings", bound=Settings)


class GroupedOption(click.Option):
    """An option that help lists under the heading of its group."""

    def __init__(self, *arguments, group: str = RUNTIME, **attributes):
        super().__init__(*arguments, **attributes)
        self.group = group

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = completed(str(self.name), ctx.params, incomplete)
        return found or super().shell_complete(ctx, incomplete)

    def get_help_extra(self, ctx: click.Context):
        """Without the range, whose limits are far from any sensible value."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class SettingsCommand(click.Command):
    """A command with the options of a settings class, those of plug-ins registered later included.

    Help lists the options in the groups of their declarations.
    """

    settings: type[Settings] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        if self.settings is not None:
            names = {param.name for param in params}
            params += [click_option(option) for option in self.settings.options() if option.name not in names]
        return params

    def invoke(self, ctx: click.Context):
        with logged(ctx):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx) if isinstance(param, click.Option) else None  # arguments: in the usage
            if row is not None:
                rows[getattr(param, "group", RUNTIME)].append(row)
        for group, options in rows.items():
            if options:
                with formatter.section(f"{group} options"):
                    formatter.write_dl(options)


def command(
    name: str,
    *options: Option,
    settings: type[Settings] | None = None,
    config_option: GroupedOption | None = None,
) -> Callable[[Callable], click.Command]:
    """Make a function a command with the options of a settings class and further ones of its own.

    Every command has --verbose and --debug, and one with settings --config. config_option: the --config of a command
    whose file is not one of defaults for its own options.
    """

    def decorate(function: Callable) -> click.Command:
        declared = settings.options() if settings is not None else ()
        params: list[click.Parameter] = [click_option(option) for option in declared]
        params += [click_option(option, check_range=True) for option in options]
        params += [config_option or _config_option()] if settings is not None else []
        params += [_logging_option(option) for option in (VERBOSE, DEBUG)]
        made = click.command(name, cls=SettingsCommand)(function)
        made.params = params + made.params
        made.settings = settings
        return made

    return decorate


def click_option(option: Option, check_range: bool = False) -> GroupedOption:
    """The click option of a declaration.

    check_range: let click check the range, for options that no settings class checks.
    """
    metavar = option.metavar or (_RANGE_METAVARS.get(option.value_type) if option.range else None)
    if option.words and metavar:
        metavar = "|".join([metavar, *option.words])
    attributes: dict[str, Any] = {"type": _click_type(option, check_range), "metavar": metavar}
    spellings = [option.flag, *option.aliases]
    if option.value_type is bool:
        attributes = {"is_flag": True} if option.default is False else {}
        spellings[0] += "" if option.default is False else f"/--no-{option.flag[2:]}"
    is_default_shown = not option.default_text and option.default is not None and option.default is not False
    if option.default is not None or option.value_type is bool:
        attributes["default"] = option.default
    return GroupedOption(
        [option.name, *spellings],
        required=option.is_required,
        multiple=option.is_multiple,
        show_default=is_default_shown,
        help=_help_text(option),
        hidden=option.is_hidden,
        group=option.group,
        **attributes,
    )


def build_config(settings: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """The settings made of the values of a command's options; a usage error for values that they refuse."""
    try:
        return settings.from_options(values)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _click_type(option: Option, check_range: bool) -> click.ParamType | type:
    if option.choices:
        return RegistryChoice(option.choices)
    if option.may_be_url:
        return PATH_OR_URL
    if option.value_type is Path:
        return EXISTING_FILE if option.must_exist else PATH
    if option.may_be_path:
        return PATH_OR_NAME
    if option.words:
        return NumberOrWord(click.types.convert_type(option.value_type), option.words)
    if check_range and option.range is not None:
        return _click_range(option.value_type, option.range)
    return option.value_type


def _click_range(number_type: type, numbers: Range) -> click.ParamType:
    limits: dict[str, Any] = {"min": numbers.minimum, "min_open": not numbers.includes_minimum}
    limits |= {"max": numbers.maximum, "max_open": not numbers.includes_maximum}
    return click.IntRange(**limits) if number_type is int else FiniteRange(**limits)


def _help_text(option: Option) -> str:
    return f"{option.help} [default: {option.default_text}]" if option.default_text else option.help


def _logging_option(option: Option) -> GroupedOption:
    made = click_option(option)
    made.expose_value, made.callback = False, remember
    return made


def _config_option() -> GroupedOption:
    return GroupedOption(
        ["--config"],
        type=EXISTING_FILE,
        is_eager=True,
        expose_value=False,
        callback=read_config_file,
        help="YAML file of defaults for the options of this command, such as the one saved by a run.",
        group=RUNTIME,
    )
