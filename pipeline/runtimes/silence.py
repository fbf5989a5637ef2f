"""Silence for libraries that report their own steps on every channel."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager


@contextlib.contextmanager
def silenced(loggers: tuple[str, ...], redirect: Callable[[io.StringIO], AbstractContextManager]) -> Iterator[None]:
    """Drop warnings, what these loggers report below errors, and a stream; errors are still raised.

    redirect: contextlib.redirect_stdout or redirect_stderr.
    """
    chosen = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in chosen]
    try:
        for logger in chosen:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(chosen, levels, strict=True):
            logger.setLevel(level)
