"""Generators that yield None as a heartbeat and return a result."""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")


def returned(generator: Generator[None, None, Result]) -> Result:
    while True:
        try:
            assert next(generator) is None
        except StopIteration as end:
            return end.value
