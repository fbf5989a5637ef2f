"""Runs an iterator in a thread ahead of whoever takes its values, by a limited number of them."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Value = TypeVar("Value")
END_SEC = 2.0  # that the thread may take to end; one that is still reading then ends with the process
_CHECK_SEC = 0.1  # after which a waiting thread looks whether it is still needed


class _Raised:
    """What the iterator ended with: an exception, or None at its end."""

    def __init__(self, error: BaseException | None):
        self.error = error


def read_ahead(values: Iterator[Value], count: int) -> Iterator[Value]:
    """Yield the values; at most `count` of them wait. Raises what the iterator raises.

    The thread ends when this generator does.
    """
    waiting: queue.Queue[Value | _Raised] = queue.Queue(count)
    stopped = threading.Event()

    def put(value: Value | _Raised) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(value, timeout=_CHECK_SEC)
            except queue.Full:
                continue

    def work() -> None:
        error: BaseException | None = None
        try:
            for value in values:
                put(value)
                if stopped.is_set():
                    return
        except BaseException as problem:
            error = problem
        put(_Raised(error))

    thread = threading.Thread(target=work, name="read ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(value := waiting.get(), _Raised):
            yield value
        if value.error is not None:
            raise value.error
    finally:
        stopped.set()
        thread.join(END_SEC)
