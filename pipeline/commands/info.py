"""The command info: versions, devices, codecs and optional packages, for bug reports."""

import json as json_format
from pathlib import Path

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.error_reporting import MACHINE_ERROR, DetailedError
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.settings.options import OUTPUT, Option

JSON = Option(name="json", value_type=bool, default=False, help="Print the same as JSON.", group=OUTPUT)


@command("info", JSON)
def info(json: bool) -> None:
    """Print versions, devices, codecs, and which optional packages are missing.

    Paste it into a bug report: it holds paths of this machine, and no secrets. Exit code 5 if a package that is always
    needed is missing or has another version than needed.
    """
    from embedonce.pipeline.environment.report import facts, missing

    sections = facts(Path.cwd())
    if json:
        show(json_format.dumps(sections, indent=1))
    else:
        for name, lines in sections.items():
            for number, line in enumerate(lines):
                echo(f"{name if number == 0 else '':12} {line}")
    if problems := missing():
        raise DetailedError(f"{'; '.join(problems)}: install embedonce again", MACHINE_ERROR)
