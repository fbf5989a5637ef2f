"""The command completion: the script that lets a shell complete this program's commands, options and values."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.error_reporting import DetailedError
from embedonce.pipeline.commands.output import show

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "embedonce", "_EMBEDONCE_COMPLETE"


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and values of the installed program.

    For bash: embedonce completion bash > ~/.local/share/bash-completion/completions/embedonce
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise DetailedError(f"this version of click has no completion for {shell}", 5)
    # without a look at the version of the shell, which need not be installed here
    show(ShellComplete.source(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE)))
