"""Tasks for the conformance tests of engines. Worker processes import this module, so its imports must be fast."""

import os
import signal
import threading
import time
from pathlib import Path


def count_to(number):
    yield from range(number)


def fail(reason):
    yield 1
    raise ValueError(reason)


class TemporaryError(Exception):
    is_temporary = True


def fail_for_now(reason):
    yield 1
    raise TemporaryError(reason)


def process_id(_):
    yield os.getpid()


def write_forever(log):
    while True:
        with open(log, "ab") as file:
            file.write(b"x")
        yield 1
        time.sleep(0.01)


def crash(log):
    with open(log, "ab") as file:
        file.write(b"x")
    yield 1
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(log):
    """With more heartbeats in the first attempt than in the second."""
    is_first = not os.path.exists(log)
    yield from [[]] * (5 if is_first else 0)
    yield "first"
    if is_first:
        Path(log).touch()
        os._exit(7)
    yield from ("second", "third")


def stop_in_a_message(number):
    """Send this signal to the process while it sends a message, which is larger than a pipe holds."""
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    while True:
        yield bytes(50_000_000)


def hang(_):
    yield 1
    time.sleep(600)


TASKS = {
    function.__name__: function
    for function in (
        count_to,
        fail,
        fail_for_now,
        process_id,
        write_forever,
        crash,
        crash_once,
        stop_in_a_message,
        hang,
    )
}


def run_named_task(task):
    """The function that the engines under test run. task: (name of a function above, its argument)."""
    name, argument = task
    yield from TASKS[name](argument)
