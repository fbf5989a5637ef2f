"""docs/options.md lists every option of every command as it is declared."""

import re
from pathlib import Path

import click
import pytest

from embedonce.pipeline.commands.options_document import document
from embedonce.pipeline.commands.registry import COMMANDS
from tests.support.documentation import section

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


def test_the_page_is_up_to_date():
    command = "python -m embedonce.pipeline.commands.options_document > docs/options.md"
    assert PAGE.read_text() == f"{document()}\n", f"run `{command}`"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_page_has_every_visible_option_once(command):
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    spellings = [spelling for option in options for spelling in (*option.opts, *option.secondary_opts)]
    first_cells = re.findall(r"^\| (`-.*?`) \|", section(PAGE, command.name), re.MULTILINE)
    assert sorted(spellings) == sorted(", ".join(first_cells).replace("`", "").split(", "))
