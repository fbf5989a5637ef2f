"""Click's side of the command line that is not about any one command: errors, configuration files, shared checks.

Knows exceptions and exit codes; computes nothing.
"""

import errno
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from embedonce.cache.errors import CacheError, DamagedError, some
from embedonce.models.errors import ModelError
from embedonce.pipeline.console import standard_streams
from embedonce.pipeline.console.printable import block, one_line
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.settings.config_files import misfit, read_defaults

INTERRUPTED = "interrupted: what was committed is safe; run the same command again to continue"


class ErrorReportingGroup(click.Group):
    """Turns the errors of the stages into one sentence and an exit code, and signals into an orderly end."""

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        with standard_streams.guarded(), interrupts.handled():
            sys.exit(self._exit_code(args, prog_name, complete_var, **extra))

    def _exit_code(self, *arguments, **extra) -> int:
        """Run the command, show its error where it has one, and return the code to end with."""
        try:
            code = super().main(*arguments, standalone_mode=False, **extra)
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            error.message = block([error.message, *getattr(error, "details", ())]) if error.message else ""
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            if interrupts.requested() or KeyboardInterrupt in (type(error), type(error.__cause__)):
                return interrupted()
            click.echo("Aborted!", err=True)
            return 1

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(interrupted())
        except Exception as error:  # those that are not known are raised again
            explained = None if isinstance(error, click.ClickException) else _explained(error)
            if interrupts.requested():
                click.echo(f"\nwhile it was stopped: {one_line(explained or error)}", err=True)
                ctx.exit(interrupted())
            if explained is None:
                raise
            raise explained from error


def interrupted() -> int:
    """Say that the run was interrupted; the code to end with."""
    click.echo(f"\n{INTERRUPTED}", err=True)
    return interrupts.exit_code()


def _explained(error: Exception) -> click.ClickException | None:
    """The error as click shows it, in one sentence; None where it is none that a user can do anything about."""
    if isinstance(error, DamagedError):
        hint = "" if error.has_advice else "; repair-cache moves damaged files away, and the next run makes them again"
        return failure(f"{error}{hint}", error.exit_code)
    if isinstance(error, PipelineError):
        return failure(error.sentence, error.exit_code, error.details)
    if isinstance(error, (CacheError, ModelError)):
        return failure(str(error), error.exit_code)
    if isinstance(error, OSError):
        return failure(_environment_error(error), 5)
    if _is_out_of_memory(error):
        return failure("out of memory: lower --batch-size (or --frames-per-clip, --num-workers)", 5)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return failure("no more threads can be started: raise the limit (ulimit -u), or lower the number of workers", 5)
    return None


def _environment_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.EMFILE: "; raise the limit (ulimit -n), or lower the number of workers",
        errno.ENFILE: "; too many files are open on this machine",
        errno.ENOSPC: "; make space (df, and for the number of files df -i) and run the same command again",
        errno.EAGAIN: "; raise the limit of processes (ulimit -u), or lower the number of workers",
    }
    return f"{place}{error.strerror or error}{remedy.get(error.errno, '')}"


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def failure(message: str, exit_code: int, details: Iterable[str] = ()) -> click.ClickException:
    """What click shows as one line, with details in lines below it, and ends with."""
    exception = click.ClickException(message)
    exception.exit_code, exception.details = exit_code, tuple(details)
    return exception


def usage_error(message: str, details: Iterable[str]) -> click.UsageError:
    """A mistake of usage, with details in lines below it."""
    exception = click.UsageError(message)
    exception.details = tuple(details)
    return exception


def echo(line: object = "") -> None:
    """Print one line of results: whatever it holds, it stays one line."""
    click.echo(one_line(line))


def show(text: str) -> None:
    """Print results of several lines, made with printable.block()."""
    click.echo(text)


def read_config_file(ctx: click.Context, _param, path: Path | None):
    """Make the file's values the defaults of this command; unknown names are refused."""
    if path is None:
        return
    try:
        values = read_defaults(path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    known = {param.name: param for param in ctx.command.params if not getattr(param, "hidden", False)}
    unknown = [str(name)[:60] for name in sorted(set(values) - set(known))]
    if unknown:
        raise click.BadParameter(f"{path} sets {some(unknown, 10)}, which {ctx.info_name} does not have")
    for name, value in values.items():
        option = known[name]
        is_many = getattr(option, "multiple", False) or option.nargs != 1
        if value is not None and (problem := misfit(value, option.type.name, is_many)):
            raise click.BadParameter(f"{path} sets {name} to {problem}")
    ctx.default_map = {name: value for name, value in values.items() if value is not None}


def belongs_to_extraction(ctx: click.Context, param: click.Parameter, value):
    if value:
        raise click.UsageError(
            f"{param.opts[0]} describes the videos, and {ctx.info_name} reads only a cache: give it to "
            "extract-teacher, which makes the cache, and run that first"
        )


def build_config(kind, settings: dict):
    """The settings as a frozen config; what it refuses is an error of usage."""
    try:
        return kind(**settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def options(*options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
