"""The objects behind one lock in an object store: numbered leases of those who hold it alone, and shared leases.

Ages are judged by the store's clock alone: the time at which it says that an object was written.
"""

import contextlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from embedonce.cache.errors import BusyError, DamagedError, StorageError
from embedonce.cache.limits import brief
from embedonce.cache.stores.object_requests import modified_at

if TYPE_CHECKING:
    from embedonce.cache.stores.object_store import ObjectStore

_LEASE = re.compile(r"(\d{6,12})\.json")
_SHARED = re.compile(r"shared-[0-9a-f]{32}-\d{6,12}\.json")
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

    def document(self) -> bytes:
        return json.dumps(self.__dict__, sort_keys=True).encode()


@dataclass(frozen=True)
class Leases:
    """What was listed: the numbers of leases, sorted, and the names of shared ones."""

    numbers: list[int]
    shared: list[str]


class LeaseFolder:
    """The folder of one lock. name: of the folder in the store. times: of leases that cannot be understood."""

    def __init__(self, store: "ObjectStore", name: str, times: LeaseTimes):
        self.store, self._name, self._times = store, name, times

    def numbered(self, number: int) -> str:
        """The name of the lease of this number."""
        return f"{self._name}/{number:06d}.json"

    def shared(self, token: str, number: int) -> str:
        """The name of a shared lease. token: of its holder; number: how many it had before."""
        return f"{self._name}/shared-{token}-{number:06d}.json"

    def listed(self) -> Leases:
        names = {path.rpartition("/")[2]: path for path in self.store.list(self._name, ".json")}
        numbers = sorted(int(match[1]) for name in names if (match := _LEASE.fullmatch(name)))
        return Leases(numbers, [path for name, path in names.items() if _SHARED.fullmatch(name)])

    def newest(self, numbers: list[int]) -> int:
        """The largest number in use, -1 if there is none; also if a listing does not have it yet."""
        newest = max(numbers, default=-1)
        while self.store.exists(self.numbered(newest + 1)):
            newest += 1
        return newest

    def now(self) -> datetime:
        """Now, by the store's clock: the time of an object that is written for this."""
        probe = f"{self._name}/time-{secrets.token_hex(8)}"
        self.store.put_if_absent(probe, probe.encode())
        try:
            return self._written_at(probe)
        finally:
            self.store.delete(probe)

    def read(self, name: str) -> Holder | None:
        """The holder of a lease, None if its object is gone or cannot be understood."""
        with contextlib.suppress(DamagedError, ValueError, TypeError, AttributeError):
            return _holder(json.loads(self.store.get(name, _MAX_LEASE_BYTES)))
        return None

    def is_held(self, name: str, holder: Holder | None, now: datetime) -> bool:
        """Whether a lease has neither been given back nor expired. DamagedError if it is gone.

        holder: from read(). now: was asked for before the age: a renewal in between makes it look younger, never older.
        """
        if holder is not None and holder.released:
            return False
        valid_sec = self._times.valid_sec if holder is None else holder.valid_sec
        return (now - self._written_at(name)).total_seconds() < valid_sec + _CLOCK_STEP_SEC

    def refuse_held(self, number: int, now: datetime) -> Holder | None:
        """The holder of a numbered lease that is over; None if it cannot be understood. BusyError if it is held."""
        holder = self.read(self.numbered(number))
        if self.is_held(self.numbered(number), holder, now):
            raise self.busy_error(holder)
        return holder

    def refuse_shared(self, names: list[str], now: datetime) -> None:
        """BusyError if one of these shared leases is held."""

        def holder_of(name: str) -> tuple[bool, Holder | None]:
            holder = self.read(name)
            with contextlib.suppress(DamagedError):  # given back since it was listed
                return self.is_held(name, holder, now), holder
            return False, None

        for is_held, holder in self.store.map(holder_of, names):
            if is_held:
                raise self.shared_error(holder)

    def holder_error(self, number: int) -> BusyError:
        """The error that names the holder of a numbered lease."""
        return self.busy_error(self.read(self.numbered(number)))

    def busy_error(self, holder: Holder | None) -> BusyError:
        who = "another process" if holder is None else str(holder)
        return BusyError(
            f"{self.store.location('')} is being written by {who}; wait for it to end (its lease expires "
            f"{self._valid_sec(holder):.0f} seconds after it stopped)"
        )

    def shared_error(self, holder: Holder | None) -> BusyError:
        who = "" if holder is None else f", such as {holder}"
        return BusyError(
            f"{self.store.location('')} is being written by processes that share it{who}; wait for all of them to end "
            f"(the lease of each expires {self._valid_sec(holder):.0f} seconds after it stopped)"
        )

    def _valid_sec(self, holder: Holder | None) -> float:
        return self._times.valid_sec if holder is None else holder.valid_sec

    def _written_at(self, name: str) -> datetime:
        time_of = modified_at(self.store.info(name))
        if not isinstance(time_of, datetime):
            with contextlib.suppress(TypeError, ValueError):
                time_of = datetime.fromisoformat(time_of)
        if not isinstance(time_of, datetime) or time_of.tzinfo is None:
            raise StorageError(f"{self.store.location(name)} has no time of writing, so the writer's lease has none")
        return time_of


def _holder(document: Any) -> Holder:
    """A holder from a document that is not trusted. ValueError, TypeError or AttributeError if it is none."""
    holder = Holder(**document)
    if not isinstance(holder.valid_sec, (int, float)) or not 0 < holder.valid_sec < 86_400:
        raise ValueError(holder.valid_sec)
    if type(holder.process) is not int or type(holder.host) is not str or type(holder.released) is not bool:
        raise TypeError(document)
    datetime.fromisoformat(holder.since)
    return holder
