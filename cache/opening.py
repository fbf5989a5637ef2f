"""Taking the lock of a cache for writing, and putting in order what an interrupted writer has left.

Only who holds the lock alone does that: temporary files of a living writer must not be deleted, and a removal changes
documents. So the first of several writers takes the lock alone, puts the cache in order, and then shares it.
"""

import contextlib
import random
import time
from collections.abc import Callable
from typing import TypeVar

from embedonce.cache.errors import BusyError
from embedonce.cache.layout import LOCK, Layout
from embedonce.cache.removal_steps import finish_removal
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.stores.base import Lock

T = TypeVar("T")

_PATIENCE_SEC = 15.0  # longer than another one takes to put a cache in order
_WAIT_SEC = (0.05, 0.5)  # between two attempts, chosen anew each time so that writers that started at once part


def lock_for_writing(layout: Layout, identity: CacheIdentity, is_shared: bool = False) -> Lock:
    """The lock of a cache, which is in order. BusyError if others hold it, unless both are shared."""
    if not is_shared:
        return _put_in_order(layout, identity)
    return _patiently(lambda: _shared_lock(layout, identity))


def refuse_locked(layout: Layout, is_shared: bool = False) -> None:
    """BusyError if the lock of a cache could not be taken now."""
    if not is_shared:
        layout.store.lock(LOCK).close()
        return
    _patiently(lambda: layout.store.lock(LOCK, is_shared=True)).close()


def _shared_lock(layout: Layout, identity: CacheIdentity) -> Lock:
    with contextlib.suppress(BusyError):
        return _put_in_order(layout, identity).share()
    layout.refuse_links()
    lock = layout.store.lock(LOCK, is_shared=True)
    with contextlib.ExitStack() as undo:
        undo.callback(lock.close)
        if layout.removal.exists():
            raise BusyError(
                f"a removal from {layout.root} was interrupted, and others write into it now: wait for them to end, "
                "then run the same remove or refresh command again"
            )
        layout.sync()
        undo.pop_all()
    return lock


def _put_in_order(layout: Layout, identity: CacheIdentity) -> Lock:
    """The lock, held alone, after what an interrupted writer left was put in order."""
    lock = layout.store.lock(LOCK)
    with contextlib.ExitStack() as undo:
        undo.callback(lock.close)
        layout.refuse_links()
        layout.recover()
        finish_removal(layout, identity, lock)
        undo.pop_all()
    return lock


def _patiently(take: Callable[[], T]) -> T:
    """take(), again and again while a BusyError may pass soon: others that start now hold the lock for a moment."""
    until = time.monotonic() + _PATIENCE_SEC
    while True:
        try:
            return take()
        except BusyError:
            if time.monotonic() > until:
                raise
        time.sleep(random.uniform(*_WAIT_SEC))
