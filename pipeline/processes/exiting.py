"""Ends the process without taking the interpreter apart, which takes a second once torch is loaded.

Import this before everything else: exit functions run in the reverse order of their registration, and those that are
registered later are to run before. Imports nothing that is slow to load.
"""

import atexit
import contextlib
import os
import sys

_code: int | None = None


def end_at_once_with(code: int) -> None:
    """When this process exits, end it with this code after its last thread and its exit functions."""
    global _code
    _code = code


@atexit.register
def _end() -> None:
    if _code is None:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            stream.flush()
    os._exit(_code)
