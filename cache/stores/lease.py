"""One writer at a time, or several that share, by leases that their holders renew and that expire without them.

A lease is a numbered object, and taking it is creating the next number, which only one can do. A shared lease is an
object of its holder's own. Whoever wants either publishes it first and looks at all others then: of two that exclude
each other, at least one sees the other and gives way.

A holder that could not renew its lease in time never renews that object again, because another may be taking it; it
publishes the next one like everyone else, and has lost the lease if another has held it alone in between.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING

from embedonce.cache.errors import AlreadyCommittedError, BusyError, StorageError
from embedonce.cache.stores.lease_folder import Holder, LeaseFolder, LeaseTimes

if TYPE_CHECKING:
    from embedonce.cache.stores.object_store import ObjectStore


class _RenewedLease(ABC):
    """A held lease, renewed in the background. Subclasses say which objects it is."""

    def __init__(self, folder: LeaseFolder, times: LeaseTimes):
        self._folder, self._store, self._times = folder, folder.store, times
        self._process, self._state, self._ended = os.getpid(), threading.Lock(), threading.Event()
        self._lost: BusyError | None = None
        self._token = secrets.token_hex(16)
        self._since, self._renewed, self._number = "", 0.0, -1

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        self._thread.start()

    @abstractmethod
    def _object(self) -> str:
        """The name of the object that is renewed now."""

    @abstractmethod
    def _take_again(self) -> None:
        """Publish the next object after the own one has expired. BusyError if another held the lock alone since."""

    @abstractmethod
    def _release(self) -> None:
        """Give the lease back."""

    def check(self) -> None:
        """BusyError if another process has taken the lease, or if it has expired and cannot be taken again."""
        with self._state:
            self._renew_if_due()
            if self._lost:
                raise self._lost
            if self._has_expired():
                where = self._store.location("")
                raise BusyError(f"{where} could not be kept: the store was out of reach for too long")

    def close(self) -> None:
        """Release the lease at once. A process that ends without this call releases it when it expires."""
        if self._process != os.getpid() or self._ended.is_set():
            return
        self._ended.set()
        with self._state:
            if self._lost or self._has_expired():
                return
            with contextlib.suppress(StorageError):  # it expires by itself
                self._release()

    def _publish(self, name: str) -> None:
        """Create an object, which is valid from now on."""
        started = _clock()
        self._store.put_if_absent(name, self._document())
        self._renewed = started

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._times.renew_sec):
            if self._process != os.getpid():
                return
            with self._state, contextlib.suppress(StorageError):  # tried again after the next wait
                if not self._ended.is_set():
                    self._renew_if_due()

    def _renew_if_due(self) -> None:
        if self._lost or _clock() - self._renewed < self._times.renew_sec:
            return
        try:
            if self._has_expired() or not self._renew():
                self._take_again()
        except BusyError as error:
            self._lost = error

    def _renew(self) -> bool:
        """Renew the own object. False if that took so long that it had expired before."""
        started = _clock()
        self._store.replace(self._object(), self._document())
        if self._has_expired():
            return False
        self._renewed = started
        return True

    def _has_expired(self) -> bool:
        """Whether others may take the lease: told early, by a sixth of the time, and by the own clock's durations."""
        return _clock() - self._renewed > self._times.valid_sec * 5 / 6

    def _document(self, released: bool = False) -> bytes:
        host, valid_sec = socket.gethostname(), self._times.valid_sec
        return Holder(host, self._process, self._since, valid_sec, self._token, released=released).document()


class Lease(_RenewedLease):
    """A lease that one process holds alone. BusyError, which names a holder, if others hold it or share it."""

    def __init__(self, store: "ObjectStore", name: str, times: LeaseTimes):
        super().__init__(LeaseFolder(store, name, times), times)
        self._expired: list[str] = []  # shared leases, which their holders never renew
        self._take()
        self._start()

    def share(self) -> "SharedLease":
        """A shared lease in place of this one. BusyError, and both are released, if another took it meanwhile."""
        try:
            return SharedLease(self._folder, self._times, self)
        finally:
            self.close()

    def _object(self) -> str:
        return self._folder.numbered(self._number)

    def _take(self) -> None:
        """Create the next number, unless the newest is held by another, or others share the lock."""
        now = self._folder.now()
        found = self._folder.listed()
        newest = self._folder.newest(found.numbers)
        if newest >= 0:
            self._folder.refuse_held(newest, now)
        self._folder.refuse_shared(found.shared, now)
        self._expired, self._since = found.shared, str(now)
        self._create(newest + 1)

    def _create(self, number: int) -> None:
        self._number = number
        try:
            self._publish(self._object())
        except AlreadyCommittedError:
            raise self._folder.holder_error(number) from None
        found = self._folder.listed()
        newest = self._folder.newest(found.numbers)
        if newest > number:  # taken, released and deleted by others while this process was suspended
            raise self._folder.holder_error(newest)
        if others := [name for name in found.shared if name not in self._expired]:
            with contextlib.suppress(StorageError):
                self._store.replace(self._object(), self._document(released=True))
            raise self._folder.shared_error(self._folder.read(others[0]))

    def _take_again(self) -> None:
        self._create(self._next_after_own())

    def _next_after_own(self) -> int:
        newest = self._folder.newest(self._folder.listed().numbers)
        if newest > self._number:
            raise self._folder.holder_error(newest)
        return self._number + 1

    def _release(self) -> None:
        self._store.replace(self._object(), self._document(released=True))
        for number in self._folder.listed().numbers:
            if number < self._number:
                self._store.delete(self._folder.numbered(number))
        for name in self._expired:
            self._store.delete(name)


class SharedLease(_RenewedLease):
    """A lease that others may share. BusyError, which names the holder, if one process holds the lock alone."""

    def __init__(self, folder: LeaseFolder, times: LeaseTimes, alone: Lease | None = None):
        """alone: the lease that this process holds alone and will release; None if it holds none."""
        super().__init__(folder, times)
        if alone is None:
            now = folder.now()
            self._since, self._last = str(now), self._last_alone(now)
        else:
            self._since, self._last = alone._since, alone._number
        self._create()
        self._start()

    def share(self) -> "SharedLease":
        return self

    def _object(self) -> str:
        return self._folder.shared(self._token, self._number)

    def _last_alone(self, now: datetime) -> int:
        """The number of the last lease that was held alone, which is over. BusyError if it is not."""
        newest = self._folder.newest(self._folder.listed().numbers)
        holder = self._folder.refuse_held(newest, now) if newest >= 0 else None
        if newest < 0 or (holder is not None and holder.released):
            return newest
        # Its holder may go on as if it still had it, if it finds no other: so that it finds that it is over
        try:
            self._store.put_if_absent(self._folder.numbered(newest + 1), self._document(released=True))
        except AlreadyCommittedError:
            raise self._folder.holder_error(newest + 1) from None
        return newest + 1

    def _create(self) -> None:
        """Publish the next object, and give it up again if another process holds the lock alone, or did since."""
        self._number += 1
        self._publish(self._object())
        newest = self._folder.newest(self._folder.listed().numbers)
        if newest > self._last:
            with contextlib.suppress(StorageError):
                self._store.delete(self._object())
            raise self._folder.holder_error(newest)

    def _take_again(self) -> None:
        expired = self._object()
        try:
            self._create()
        finally:
            with contextlib.suppress(StorageError):
                self._store.delete(expired)

    def _release(self) -> None:
        self._store.delete(self._object())


def _clock() -> float:
    """Seconds that pass also while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
