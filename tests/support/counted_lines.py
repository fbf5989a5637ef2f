"""Counts what Python does in the packages of this program, in place of seconds: lines that run, loops by each turn."""

import sys
from collections.abc import Callable
from pathlib import Path

import embedonce

PACKAGES = str(Path(embedonce.__file__).parent)
TESTS = f"{PACKAGES}/tests/"


def lines_of(call: Callable[[], object]) -> int:
    """How many lines run during a call, of all modules of this program."""
    count, before = 0, sys.gettrace()

    def trace(frame, event, argument):
        nonlocal count
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGES) or name.startswith(TESTS):
            return None
        count += event in ("call", "line")
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
