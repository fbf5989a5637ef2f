"""--verbose and --debug, which every command has: more lines on standard error, and a log file."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import click

from embedonce.pipeline.commands.output import tell
from embedonce.pipeline.settings.options import RUNTIME, Option

VERBOSE = Option(
    name="verbose",
    value_type=bool,
    default=False,
    help="Print more progress, and how long each stage takes.",
    group=RUNTIME,
)
DEBUG = Option(
    name="debug",
    value_type=bool,
    default=False,
    help="Like --verbose, and write a log file with tracebacks beside the output.",
    group=RUNTIME,
)
HINT = "this is an error in the program: run again with --debug for a log file to report it with"
_SHARED_FOLDERS = ("train-student", "evaluate", "compare", "distill")  # whose output folder has files of several runs
OF_THE_LOG = "embedonce.run"  # the logger of what only the log file is told
_KEY = "embedonce."  # of what is remembered in click's contexts
_PROGRESS_SEC = 2.0


def remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """The callback of both options."""
    if value:
        ctx.meta[f"{_KEY}{param.name}"] = True


def log_path(ctx: click.Context) -> Path | None:
    """The log file of this run; None if it has none."""
    return ctx.meta.get(f"{_KEY}log")


def hint(ctx: click.Context) -> str:
    """Where the details of an unexpected error are, or how to get them."""
    path = log_path(ctx)
    return HINT if path is None else details(path)


def details(path: Path) -> str:
    return f"details: {path}"


@contextlib.contextmanager
def logged(ctx: click.Context) -> Iterator[None]:
    """Log as --verbose and --debug say while a command runs. A command within another one adds nothing."""
    meta = ctx.meta
    is_debug = meta.get(f"{_KEY}debug", False)
    if not (is_debug or meta.get(f"{_KEY}verbose")) or meta.get(f"{_KEY}logged"):
        yield
        return
    meta[f"{_KEY}logged"] = True
    with contextlib.ExitStack() as restored:
        restored.enter_context(_more_lines())
        if is_debug:
            restored.enter_context(_log_file(ctx))
        yield


@contextlib.contextmanager
def _more_lines() -> Iterator[None]:
    """Messages of this program of all levels, and frequent lines of progress. Those of libraries stay as they are."""
    from embedonce.pipeline import progress

    own, root = logging.getLogger("embedonce"), logging.getLogger()
    levels, seconds = (own.level, root.level), progress.SECONDS_BETWEEN_LINES
    shown = list(root.handlers)
    for handler in shown:
        handler.addFilter(_is_shown)
    own.setLevel(logging.DEBUG)
    progress.SECONDS_BETWEEN_LINES = min(seconds, _PROGRESS_SEC)
    try:
        yield
    finally:
        for handler in shown:
            handler.removeFilter(_is_shown)
        own.setLevel(levels[0])
        root.setLevel(levels[1])
        progress.SECONDS_BETWEEN_LINES = seconds


def _is_shown(record: logging.LogRecord) -> bool:
    is_own = record.name.startswith("embedonce") and record.name != OF_THE_LOG
    return is_own or record.levelno >= logging.WARNING


@contextlib.contextmanager
def _log_file(ctx: click.Context) -> Iterator[None]:
    """Write the log file, its last line being how the command ended."""
    from embedonce.pipeline.commands.run_log import RunLog, log_folder

    name = str(ctx.info_name)
    try:
        log = RunLog(log_folder(_place(name, ctx.params)), name)
    except OSError as error:
        tell(f"no log file can be written ({error}); the run goes on without it")
        yield
        return
    root, told = logging.getLogger(), logging.getLogger(OF_THE_LOG)
    root.addHandler(log)
    root.setLevel(logging.INFO)  # what libraries say
    ctx.meta[f"{_KEY}log"] = log.path
    told.debug("options: %s", ", ".join(f"{option}={value}" for option, value in ctx.params.items()))
    try:
        yield
        told.debug("ended")
    except click.exceptions.Exit as end:
        told.debug("ended with exit code %d", end.exit_code)
        raise
    except BaseException as error:
        told.debug("ended by an error", exc_info=error)
        raise
    finally:
        root.removeHandler(log)
        log.close()
        tell(f"log: {log.path}")


def _place(command: str, values: dict) -> Path | None:
    """The folder beside the output, whether it exists or not; None for the current one."""
    output, cache = values.get("output_dir"), values.get("cache_dir")
    if isinstance(output, Path):
        return output if command in _SHARED_FOLDERS else output.parent
    return cache.parent if isinstance(cache, Path) else None
