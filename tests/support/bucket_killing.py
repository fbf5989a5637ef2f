"""A scripted writer to a bucket, in a process of its own, that is killed by SIGKILL at one of its requests.

The server kills it when the request arrives, before it is carried out, or when it was carried out, before the answer is
sent: no other moments can be told apart from outside.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from tests.support.crash_session import run_session
from tests.support.faulty_s3 import LOST_REQUEST, Faults, Request, faulty
from tests.support.recorded_operations import IN_FLUX
from tests.support.s3_server import directed_to

CONTEXT = multiprocessing.get_context("forkserver")  # new processes, in which nothing was ever opened
SECONDS_TO_END = 120.0


@dataclass(frozen=True)
class Ended:
    """process: of the writer; killed: whether it was; acknowledged: keys of what was promised before."""

    process: int
    killed: bool
    acknowledged: set[str]


class _Killing:
    """Kills a process at its request of this number: before it is carried out, or after."""

    def __init__(self, faults: Faults, number: int, after: bool):
        self._number, self._after, self._counter, self._lock = number, after, itertools.count(), threading.Lock()
        self._process: BaseProcess | None = None
        self._has_process = threading.Event()
        self._request: Request | None = None
        faults.spoil, faults.carried_out = self._arrived, self._carried_out

    def watch(self, process: BaseProcess) -> None:
        self._process = process
        self._has_process.set()

    def _arrived(self, request: Request) -> str | None:
        with self._lock:
            number = next(self._counter)
        if number < self._number:
            return None
        if self._after and number == self._number:
            self._request = request
            return None
        self._kill()
        return LOST_REQUEST

    def _carried_out(self, request: Request) -> None:
        if request is self._request:
            self._kill()

    def _kill(self) -> None:
        self._has_process.wait()
        assert self._process is not None
        self._process.kill()


def killed_writer(
    endpoint: str, url: str, number: int, after: bool, times: LeaseTimes, session: Callable[..., object] = run_session
) -> Ended:
    """Run a session, called like that of tests.support.crash_session, until it sends a request of this number, from 0.

    after: it is killed when that was carried out, and not before.
    """
    CONTEXT.set_forkserver_preload([__name__])
    pipe, other = CONTEXT.Pipe(duplex=False)
    with faulty(endpoint) as (proxy, faults), directed_to(proxy):
        killing = _Killing(faults, number, after)
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        process = CONTEXT.Process(target=_write, args=(other, url, times, environment, session))
        process.start()
        other.close()
        killing.watch(process)
        acknowledged = set()
        with contextlib.suppress(EOFError):
            while pipe.poll(SECONDS_TO_END):
                acknowledged.add(pipe.recv())
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL) and process.pid is not None
    return Ended(process.pid, process.exitcode != 0, acknowledged)


def _write(
    pipe: Connection, url: str, times: LeaseTimes, environment: dict[str, str], session: Callable[..., object]
) -> None:
    os.environ.update(environment)  # the process that this one was forked from has an older one

    def acknowledge(key: str, value: object) -> None:
        if value is not IN_FLUX and value is not None:
            pipe.send(key)

    session(ObjectStore(ObjectRequests(url), lease_times=times), "hdf5", acknowledge)
