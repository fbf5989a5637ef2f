"""A cache of a function's results for several threads: functools.cache would let each of them compute the first one."""

import functools
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ComputedOnce(Generic[T]):
    """Decorator: the function is computed once per arguments; threads that ask meanwhile wait. Errors are not kept."""

    def __init__(self, function: Callable[..., T]):
        self._cached, self._computing = functools.cache(function), threading.RLock()
        self.cache_clear = self._cached.cache_clear
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> T:
        with self._computing:
            return self._cached(*arguments)
