"""The click group of all commands: errors become one sentence and an exit code, signals an orderly end."""

import errno
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from embedonce.cache.errors import CacheError, DamagedError
from embedonce.models.errors import ModelError
from embedonce.models.machine_errors import is_out_of_memory
from embedonce.pipeline.commands.logging_options import details, hint, log_path
from embedonce.pipeline.console import standard_streams
from embedonce.pipeline.console.printable import block, one_line
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes import interrupts

INTERRUPTED = "interrupted: what was committed is safe; run the same command again to continue"
REPAIR_HINT = "; repair-cache moves damaged files away, and says what makes them again"
MACHINE_ERROR = 5  # exit code: the machine, not the data or the options
REMEDIES = {
    errno.EMFILE: "; raise the limit (ulimit -n), or lower the number of workers",
    errno.ENFILE: "; too many files are open on this machine",
    errno.ENOSPC: "; make space (df, and for the number of files df -i) and run the same command again",
    errno.EAGAIN: "; raise the limit of processes (ulimit -u), or lower the number of workers",
}


class DetailedError(click.ClickException):
    """An error of a command with its own exit code, and details on the lines below its sentence."""

    def __init__(self, message: str, exit_code: int, details: Iterable[str] = ()):
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
        self.details = tuple(details)


class DetailedUsageError(click.UsageError):
    """A mistake in the options, with details on the lines below its sentence."""

    def __init__(self, message: str, details: Iterable[str]):
        super().__init__(message)
        self.details = tuple(details)


class ErrorReportingGroup(click.Group):
    """Shows expected errors as one sentence with an exit code, and ends in order when a signal arrives."""

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        with standard_streams.guarded(), interrupts.handled():
            sys.exit(self._exit_code({"args": args, "prog_name": prog_name, "complete_var": complete_var} | extra))

    def _exit_code(self, arguments: dict[str, Any]) -> int:
        """Run the command, print its error if there is one, and return the exit code."""
        try:
            code = super().main(**arguments, standalone_mode=False)
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            _print(error)
            return error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            if interrupts.requested() or KeyboardInterrupt in (type(error), type(error.__cause__)):
                return report_interrupt()
            click.echo("Aborted!", err=True)
            return 1
        except Exception as error:  # outside of invoke(), such as while --help is printed
            explained = explain(error)
            if explained is None:
                raise
            _print(explained)
            return explained.exit_code

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(report_interrupt())
        except Exception as error:  # unexpected ones are raised again
            explained = None if isinstance(error, click.ClickException) else explain(error)
            if interrupts.requested():
                click.echo(f"\nduring the shutdown: {one_line(explained or error)}", err=True)
                ctx.exit(report_interrupt())
            if explained is None and not isinstance(error, click.ClickException):
                click.echo(one_line(hint(ctx)), err=True)
                raise
            raise _with_log(explained or error, log_path(ctx)) from error.__cause__ if explained is None else error


def _with_log(error: Exception, path: Path | None) -> Exception:
    """The error, with the log file that has its traceback among its details."""
    if path is not None:
        error.details = (*getattr(error, "details", ()), details(path))  # type: ignore[attr-defined]
    return error


def _print(error: click.ClickException) -> None:
    """Print the error as click does, with its details below and without control characters."""
    if error.message:
        lines = block([error.message, *getattr(error, "details", ())])
        error.message = lines  # type: ignore[misc]  # the same kind of error shows another text
    error.show()


def report_interrupt() -> int:
    """Print that the run was interrupted; the exit code."""
    click.echo(f"\n{INTERRUPTED}", err=True)
    return interrupts.exit_code()


def explain(error: Exception) -> click.ClickException | None:
    """The error as one sentence for the user; None for errors that only a programmer can mend."""
    if isinstance(error, DamagedError):
        hint = "" if error.has_advice else REPAIR_HINT
        return DetailedError(f"{error}{hint}", error.exit_code)
    if isinstance(error, PipelineError):
        return DetailedError(error.sentence, error.exit_code, error.details)
    if isinstance(error, (CacheError, ModelError)):
        return DetailedError(str(error), error.exit_code)
    problem = _machine_problem(error)
    return None if problem is None else DetailedError(problem, MACHINE_ERROR)


def _machine_problem(error: Exception) -> str | None:
    """What this machine lacks, and what to do; None if the error is not about that."""
    if isinstance(error, OSError):
        return _environment_error(error)
    if is_out_of_memory(error):
        return "out of memory: lower --batch-size (or --frames-per-clip, --num-workers)"
    if isinstance(error, ImportError) and _library(error):
        reason = " ".join(str(error).split())
        return f"{_library(error)} cannot be imported ({reason}): it is damaged or missing; install it again"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "no more threads can be started: raise the limit (ulimit -u), or lower the number of workers"
    return None


def _library(error: ImportError) -> str:
    """The library that cannot be imported; "" if that is a part of this program."""
    name = (error.name or "").partition(".")[0]
    return "" if name == __package__.partition(".")[0] else name


def _environment_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}{REMEDIES.get(error.errno or 0, '')}"
