"""The command line of embedonce: the group of all commands."""

import sys
from importlib.util import find_spec
from pathlib import Path

INSTALLED = find_spec("embedonce")
if INSTALLED is None or INSTALLED.origin is None:
    sys.stderr.write("embedonce is not installed: run `make install`, or `pip install -e .` in this folder\n")
    sys.exit(5)
if Path(INSTALLED.origin).resolve().parent != Path(__file__).resolve().parent:
    sys.stderr.write(
        f"this checkout is not the installed embedonce, which is in {Path(INSTALLED.origin).parent}: run "
        "`make install` here, or `embedonce` in place of `python cli.py`\n"
    )
    sys.exit(5)

from embedonce.pipeline.processes import exiting  # isort: split

import click

from embedonce.pipeline.commands.error_reporting import ErrorReportingGroup
from embedonce.pipeline.commands.registry import COMMANDS
from embedonce.pipeline.console import standard_streams
from embedonce.pipeline.processes import interrupts


@click.group(
    cls=ErrorReportingGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 110,
    },
)
@click.version_option(package_name="embedonce")
def main() -> None:
    """embedonce: embed once, train many.

    A CLIP teacher embeds every video frame once into a cache (extract-teacher). Small MobileViT students are trained
    from the cache, without the teacher or the videos (train-student), and compared with the teacher (evaluate).

    \b
    Try it, without downloading anything:
      python cli.py extract-teacher --use-synthetic --teacher-size demo
      python cli.py train-student --no-student-pretrained
      python cli.py evaluate
    """
    standard_streams.log_to_stderr()


for command in COMMANDS:
    main.add_command(command)


def run() -> None:
    """The program: main(), with signals handled until the process ends."""
    standard_streams.open_standard_descriptors()
    interrupts.handle_until_exit()
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            exiting.end_at_once_with(end.code)
        raise


if __name__ == "__main__":
    run()
