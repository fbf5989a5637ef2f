"""Which states of a bucket the death of its writer may leave: every request that was sent is carried out, or it is not.

Knows the requests that change a bucket; knows nothing of what the objects hold, nor of what a request is for.
"""

import http.client
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import fsspec

from tests.support.faulty_s3 import Request, faulty
from tests.support.recorded_operations import IN_FLUX, Mark
from tests.support.s3_server import directed_to

_CHANGES = {"PUT", "POST", "DELETE"}


@dataclass(frozen=True)
class Done:
    """A request was carried out, and will be answered."""

    request: Request


@dataclass
class Recording:
    """Requests that change something, when they arrive; Done when they were carried out; and what is promised when."""

    events: list[Request | Done | Mark] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self, key: str, value: object) -> None:
        self._add(Mark(key, value))

    def arrived(self, request: Request) -> None:
        if request.method in _CHANGES:
            self._add(request)

    def done(self, request: Request) -> None:
        if request.method in _CHANGES:
            self._add(Done(request))

    def _add(self, event) -> None:
        with self.lock:
            self.events.append(event)

    def promises(self) -> dict[str, object]:
        """What holds in the end, by key."""
        return promised_by(self.events)

    def requests(self) -> list[Request]:
        return [event for event in self.events if isinstance(event, Request)]

    def states(self) -> Iterator[tuple[list[Request], dict[str, object]]]:
        """(requests that were carried out, what is promised) at every moment: without an answer, one may be or not."""
        for end in range(len(self.events) + 1):
            events = self.events[:end]
            done = {id(event.request) for event in events if isinstance(event, Done)}
            sent = [event for event in events if isinstance(event, Request)]
            pending = [request for request in sent if id(request) not in done]
            for fates in itertools.product((False, True), repeat=len(pending)):
                applied = done | {id(request) for request, is_applied in zip(pending, fates, strict=True) if is_applied}
                yield [request for request in sent if id(request) in applied], promised_by(events)


def promised_by(events: list) -> dict[str, object]:
    """The last promise of each key, but for those that are being changed and those of absence."""
    last = {event.key: event.value for event in events if isinstance(event, Mark)}
    return {key: value for key, value in last.items() if value is not IN_FLUX and value is not None}


@contextmanager
def recording(endpoint: str) -> Iterator[Recording]:
    """Record what S3 clients that are made meanwhile do to the S3 at an endpoint."""
    found = Recording()
    with faulty(endpoint) as (proxy, faults), directed_to(proxy):
        faults.spoil, faults.carried_out = found.arrived, found.done
        yield found


def replay(endpoint: str, requests: list[Request], prefix: str, target: str) -> None:
    """Send requests once more, to names below another prefix. Those whose condition does not hold change nothing."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    for request in requests:
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "transfer-encoding")}
        assert request.path.count(prefix) == 1, request.path
        connection.request(request.method, request.path.replace(prefix, target), request.body, headers)
        connection.getresponse().read()
    connection.close()


def in_memory(requests: list[Request], prefix: str, url: str) -> None:
    """The objects that these requests make below a prefix, below a memory:// URL."""
    file_system, root = fsspec.core.url_to_fs(url)
    for request in requests:
        name = request.path.partition(prefix)[2].partition("?")[0]
        path = f"{root}{name}"
        if request.method == "DELETE":
            file_system.store.pop(path, None)
        elif "if-none-match" not in request.headers or path not in file_system.store:
            file_system.pipe_file(path, request.body)
