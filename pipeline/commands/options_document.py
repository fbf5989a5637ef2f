"""Write docs/options.md, the reference of all options: python -m embedonce.pipeline.commands.options_document"""

import re
from collections.abc import Iterator

import click

from embedonce.pipeline.commands.output import show
from embedonce.pipeline.commands.registry import COMMANDS
from embedonce.pipeline.settings.options import GROUPS, RUNTIME

HEAD = """\
# Options

All commands with their options, as `python cli.py COMMAND --help` lists them. An option can be given on the command
line, or, under its name with `_` for `-`, in the YAML file of `--config`; the command line takes precedence. This page
is generated: `python -m embedonce.pipeline.commands.options_document > docs/options.md`.
"""
_DEFAULT = re.compile(r" \[default: (.*)\]$")


def document() -> str:
    """The text of docs/options.md."""
    return "\n".join([HEAD, *(line for command in COMMANDS for line in _command_lines(command))])


def _command_lines(command: click.Command) -> Iterator[str]:
    yield f"## {command.name}"
    yield ""
    yield command.get_short_help_str(limit=200)
    yield ""
    if arguments := [param.metavar for param in command.params if isinstance(param, click.Argument)]:
        yield f"Usage: `python cli.py {command.name} [OPTIONS] {' '.join(map(str, arguments))}`"
        yield ""
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    for group in GROUPS:
        rows = [_row(option) for option in options if getattr(option, "group", RUNTIME) == group]
        if rows:
            yield f"| {group} options | Value | Default | Meaning |"
            yield "|---|---|---|---|"
            yield from rows
            yield ""


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    help_text = option.help or ""
    default = _DEFAULT.search(help_text)
    cells = [names, _value(option), _default(option, default), _DEFAULT.sub("", help_text)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    return option.metavar or option.type.name.upper()


def _default(option: click.Option, in_help: re.Match[str] | None) -> str:
    if in_help is not None:
        return in_help[1]
    if option.required:
        return "required"
    return f"`{option.default}`" if option.show_default else ""


if __name__ == "__main__":
    show(document())
