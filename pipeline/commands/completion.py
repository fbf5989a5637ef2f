"""The command completion: the script that lets a shell complete this program's commands, options and values."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.error_reporting import DetailedError
from embedonce.pipeline.commands.output import show

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "embedonce", "_EMBEDONCE_COMPLETE"


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL (bash, zsh or fish) complete commands, options and values.

    For the installed program, such as: embedonce completion fish > ~/.config/fish/completions/embedonce.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise DetailedError(f"this version of click has no completion for {shell}", 5)
    # without a look at the version of the shell, which need not be installed here
    show(ShellComplete.source(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE)))
