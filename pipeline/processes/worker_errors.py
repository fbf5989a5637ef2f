"""Errors that cross from one process to another keep their traceback as a note, which a log of the parent shows."""

import traceback
from typing import TypeVar

AnyError = TypeVar("AnyError", bound=BaseException)


def with_traceback_note(error: AnyError) -> AnyError:
    """The error with its traceback as a note: pickling keeps notes, but neither tracebacks nor causes."""
    error.add_note("in another process: " + "".join(traceback.format_exception(error)).rstrip())
    return error
