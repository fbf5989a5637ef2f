"""Click's side of the command line that is not about any one command: errors, configuration files, shared checks.

Knows exceptions and exit codes; computes nothing.
"""

import errno
from pathlib import Path

import click

from cache.errors import CacheError, DamagedError, OtherVersionError, some
from models.errors import ModelError
from pipeline.config_files import misfit, read_defaults
from pipeline.errors import PipelineError


class Explaining(click.Group):
    """Turns the errors of the stages into one sentence and an exit code."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except DamagedError as error:
            is_said = isinstance(error, OtherVersionError) or "repair" in str(error)
            hint = "" if is_said else "; repair-cache takes out what is damaged, to be made again"
            raise failure(f"{error}{hint}", error.exit_code) from error
        except (CacheError, ModelError, PipelineError) as error:
            raise failure(str(error), error.exit_code) from error
        except KeyboardInterrupt:
            click.echo("\ninterrupted: what was committed is safe; run the same command again to continue", err=True)
            ctx.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe left: click ends quietly
            place = f"{error.filename}: " if error.filename else ""
            raise failure(f"{place}{error.strerror or error}", 5) from error
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise failure("out of memory: lower --batch-size (or --frames-per-clip, --num-workers)", 5) from error


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def failure(message: str, exit_code: int) -> click.ClickException:
    """What click shows as one line, and ends with."""
    exception = click.ClickException(message)
    exception.exit_code = exit_code
    return exception


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


def made(kind, settings: dict):
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
