"""A proxy in front of an S3 that spoils chosen requests: errors, truncated bodies, lost answers, ignored conditions."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.support.slow_s3 import AnyMethodHandler, serving

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>Spoiled.</Message></Error>"


@dataclass(frozen=True)
class Request:
    """A request that arrived: its method, its path with the query, its headers in small letters, and its body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass
class Faults:
    """What happens to the next requests. requests: all that arrived.

    spoil: returns for a request what is done with it: None to pass it on, a code such as "InternalError" with its
    status to answer with an error, or one of the words below. carried_out: called when a request was passed on and
    carried out, before its answer is sent. answer: returns the body to send in place of a body.
    """

    spoil: Callable[[Request], tuple[int, str] | str | None] = lambda request: None
    carried_out: Callable[[Request], None] = lambda request: None
    answer: Callable[[Request, bytes], bytes] = lambda request, body: body
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, request: Request):
        with self.lock:
            self.requests.append(request)
            return self.spoil(request)


TRUNCATED = "truncated"  # half of the answer's body, then the connection ends
LOST_ANSWER = "lost answer"  # the request is carried out, the connection ends without an answer
LOST_REQUEST = "lost request"  # the connection ends before the request is carried out
UNCONDITIONAL = "unconditional"  # If-None-Match and If-Match are ignored
OTHER_BYTES = "other bytes"  # the last byte of an upload is changed on its way
OTHER_TAG = "other tag"  # the ETag is not the MD5 of the object, as that of an encrypted one


@contextlib.contextmanager
def faulty(endpoint: str) -> Iterator[tuple[str, Faults]]:
    """(endpoint, its faults) of a proxy."""
    host, faults = endpoint.removeprefix("http://"), Faults()

    class Handler(AnyMethodHandler):
        def respond(self) -> None:
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            fault = faults.next(request)
            if isinstance(fault, tuple):
                self._refuse(*fault)
            elif fault == LOST_REQUEST:
                self._hang_up()
            else:
                self._pass_on(request, body, fault)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _pass_on(self, request: Request, body: bytes, fault: str | None) -> None:
            left_out = {"transfer-encoding", "connection", "expect"}
            left_out |= {"if-none-match", "if-match"} if fault == UNCONDITIONAL else set()
            headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
            if fault == OTHER_BYTES:
                body = body[:-1] + bytes([body[-1] ^ 1])
            connection = http.client.HTTPConnection(host)
            connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
            response = connection.getresponse()
            answer, sent = response.read(), {n: v for n, v in response.getheaders() if n.lower() != "connection"}
            connection.close()
            faults.carried_out(request)
            if fault == OTHER_TAG:
                sent["ETag"] = f'"{"0" * 32}"'
            if (other := faults.answer(request, answer)) != answer:
                answer, sent = other, sent | {"Content-Length": str(len(other))}
            if fault == LOST_ANSWER:
                self._hang_up()
                return
            self.answer(response.status, sent, answer[: len(answer) // 2] if fault == TRUNCATED else answer)
            if fault == TRUNCATED:
                self._hang_up()

        def _refuse(self, status: int, code: str) -> None:
            body = b"" if self.command == "HEAD" else ERROR.format(code).encode()
            self.answer(status, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    with serving(Handler) as where:
        yield where, faults
