"""One writer at a time, by a lease that its holder renews and that anyone may take once it has expired.

A lease is a numbered object, and taking it is creating the next number, which only one can do. Ages are judged by the
store's clock alone: the time at which it says that an object was written. A holder that could not renew its lease in
time never renews that number again, because another may be taking it; it takes the next number like everyone else.
"""

import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from embedonce.cache.errors import AlreadyCommittedError, BusyError, CacheError, DamagedError, StorageError
from embedonce.cache.limits import brief
from embedonce.cache.stores.object_requests import modified_at

if TYPE_CHECKING:
    from embedonce.cache.stores.object_store import ObjectStore

_LEASE = re.compile(r"(\d{6,12})\.json")
_CLOCK_STEP_SEC = 1.0  # stores round the time of writing down to whole seconds
_MAX_LEASE_BYTES = 4096


@dataclass(frozen=True)
class LeaseTimes:
    """valid_sec: how long a lease is valid after it was renewed; renew_sec: how often it is renewed."""

    valid_sec: float = 60.0
    renew_sec: float = 15.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. since: when it was taken, by the store's clock. released: it was given back."""

    host: str
    process: int
    since: str
    valid_sec: float
    token: str
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.process} on host {brief(self.host)} since {self.since}"


class Lease:
    """A held lease. BusyError, which names the holder, if another process holds it."""

    def __init__(self, store: "ObjectStore", name: str, times: LeaseTimes):
        self._store, self._name, self._times = store, name, times
        self._process, self._state, self._ended = os.getpid(), threading.Lock(), threading.Event()
        self._lost: BusyError | None = None
        self._token = secrets.token_hex(16)
        self._since, self._renewed, self._number = "", 0.0, -1
        self._take()
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """BusyError if another process has taken the lease, or if it has expired and cannot be taken again."""
        with self._state:
            self._renew_if_due()
            if self._lost:
                raise self._lost
            if self._has_expired():
                raise BusyError(f"{self._where()} could not be kept: the store was out of reach for too long")

    def close(self) -> None:
        """Release the lease at once. A process that ends without this call releases it when it expires."""
        if self._process != os.getpid() or self._ended.is_set():
            return
        self._ended.set()
        with self._state:
            if self._lost or self._has_expired():
                return
            with contextlib.suppress(StorageError):  # it expires by itself
                self._store.replace(self._object(self._number), self._document(released=True))
                for number in self._numbers():
                    if number < self._number:
                        self._store.delete(self._object(number))

    def _take(self) -> None:
        """Create the next number, unless the newest is held by another."""
        now = self._store_time()
        numbers = self._numbers()
        newest = self._newest(numbers)
        if newest >= 0:
            self._refuse_if_held(newest, now)
        self._since = self._since or str(now)
        self._create(newest + 1)

    def _create(self, number: int) -> None:
        started = _clock()
        self._number = number
        try:
            self._store.put_if_absent(self._object(number), self._document())
        except AlreadyCommittedError:
            raise self._busy(self._read(number)) from None
        self._renewed = started
        newest = self._newest(self._numbers())
        if newest > number:  # taken, released and deleted by others while this process was suspended
            raise self._busy(self._read(newest))

    def _refuse_if_held(self, number: int, now: datetime) -> None:
        """The time was asked for before the age: a renewal in between makes the lease look younger, never older."""
        holder = self._read(number)
        if holder is not None and holder.released:
            return
        age = (now - self._written_at(self._object(number))).total_seconds()
        valid_sec = self._times.valid_sec if holder is None else holder.valid_sec
        if age < valid_sec + _CLOCK_STEP_SEC:
            raise self._busy(holder)

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
                self._create(self._next_after_own())
        except BusyError as error:
            self._lost = error

    def _renew(self) -> bool:
        """Renew the own number. False if that took so long that it had expired before."""
        started = _clock()
        self._store.replace(self._object(self._number), self._document())
        if self._has_expired():
            return False
        self._renewed = started
        return True

    def _next_after_own(self) -> int:
        newest = self._newest(self._numbers())
        if newest > self._number:
            raise self._busy(self._read(newest))
        return self._number + 1

    def _has_expired(self) -> bool:
        """Whether others may take the lease: told early, by a sixth of the time, and by the own clock's durations."""
        return _clock() - self._renewed > self._times.valid_sec * 5 / 6

    def _numbers(self) -> list[int]:
        names = self._store.list(self._name, ".json")
        return sorted(int(match[1]) for name in names if (match := _LEASE.fullmatch(name.rpartition("/")[2])))

    def _newest(self, numbers: list[int]) -> int:
        """The largest number in use, -1 if there is none; also if a listing does not have it yet."""
        newest = max(numbers, default=-1)
        while self._store.exists(self._object(newest + 1)):
            newest += 1
        return newest

    def _store_time(self) -> datetime:
        """Now, by the store's clock: the time of an object that is written for this."""
        probe = f"{self._name}/time-{secrets.token_hex(8)}"
        self._store.put_if_absent(probe, self._token.encode())
        try:
            return self._written_at(probe)
        finally:
            self._store.delete(probe)

    def _written_at(self, name: str) -> datetime:
        time_of = modified_at(self._store.info(name))
        if not isinstance(time_of, datetime):
            with contextlib.suppress(TypeError, ValueError):
                time_of = datetime.fromisoformat(time_of)
        if not isinstance(time_of, datetime) or time_of.tzinfo is None:
            raise StorageError(f"{self._store.location(name)} has no time of writing, so the writer's lease has none")
        return time_of

    def _read(self, number: int) -> Holder | None:
        """The holder of a lease, None if its object is gone or cannot be understood."""
        with contextlib.suppress(DamagedError, ValueError, TypeError, AttributeError):
            return _holder(json.loads(self._store.get(self._object(number), _MAX_LEASE_BYTES)))
        return None

    def _document(self, released: bool = False) -> bytes:
        holder = Holder(
            socket.gethostname(), self._process, self._since, self._times.valid_sec, self._token, released=released
        )
        return json.dumps(holder.__dict__, sort_keys=True).encode()

    def _object(self, number: int) -> str:
        return f"{self._name}/{number:06d}.json"

    def _where(self) -> str:
        return self._store.location("")

    def _busy(self, holder: Holder | None) -> CacheError:
        who = "another process" if holder is None else str(holder)
        valid_sec = self._times.valid_sec if holder is None else holder.valid_sec
        return BusyError(
            f"{self._where()} is being written by {who}; wait for it to end (its lease expires {valid_sec:.0f} seconds "
            "after it stopped)"
        )


def _holder(document: Any) -> Holder:
    """A holder from a document that is not trusted. ValueError, TypeError or AttributeError if it is none."""
    holder = Holder(**document)
    if not isinstance(holder.valid_sec, (int, float)) or not 0 < holder.valid_sec < 86_400:
        raise ValueError(holder.valid_sec)
    if type(holder.process) is not int or type(holder.host) is not str or type(holder.released) is not bool:
        raise TypeError(document)
    datetime.fromisoformat(holder.since)
    return holder


def _clock() -> float:
    """Seconds that pass also while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
