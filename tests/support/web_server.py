"""A local web server of files: with ranges or without, counting what it sends, failing when told to."""

import contextlib
import email.utils
import http.client
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import slow_s3
from tests.support.slow_s3 import AnyMethodHandler

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Traffic:
    """What a server was asked, and how its next answers to GET are spoilt.

    sent: path -> bytes of bodies of GET requests. faults: taken one by one: a status code to answer with, or
    "truncated" for a connection that ends in the middle of the body, "short" for half of the body as if it were all.
    """

    sent: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[int | str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def clear(self) -> None:
        self.sent.clear()
        self.requests.clear()

    def note(self, path: str, request: str, num_bytes: int) -> None:
        with self.lock:
            self.requests.append(request)
            path = path.partition("?")[0]
            self.sent[path] = self.sent.get(path, 0) + num_bytes

    def next_fault(self) -> int | str | None:
        with self.lock:
            return self.faults.pop(0) if self.faults else None


def file_answers(root: Path, has_ranges: bool = True) -> Callable[[str, dict], Answer]:
    """Answers from the files of a folder, and index pages of its folders."""

    def answer(path: str, headers: dict[str, str]) -> Answer:
        file = root / urllib.parse.unquote(path.partition("?")[0], errors="surrogateescape").strip("/")
        if file.is_dir():
            names = sorted(entry.name + "/" * entry.is_dir() for entry in file.iterdir())
            links = [f'<a href="{urllib.parse.quote(os.fsencode(name))}">…</a>' for name in names]
            page = "\n".join(["<html>", '<a href="../">up</a>', '<a href="?C=N;O=D">Name</a>', *links, "</html>"])
            return 200, {"Content-Type": "text/html"}, page.encode()
        if not file.is_file():
            return 404, {}, b"not here"
        data, stat = file.read_bytes(), file.stat()
        tag, changed = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', email.utils.formatdate(stat.st_mtime, usegmt=True)
        shared = {"ETag": tag, "Last-Modified": changed, "Content-Type": "video/mp4"}
        wanted = headers.get("range") if has_ranges else None
        if wanted is None:
            return 200, shared, data
        start, end = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        part = data[start : end + 1]
        return 206, shared | {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}, part

    return answer


def proxy_answers(endpoint: str) -> Callable[[str, dict], Answer]:
    """Answers of another server, which is asked the same."""

    def answer(path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
        method = headers.pop("x-method")
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        dropped = {"connection", "transfer-encoding", "date", "server"} | (
            {"content-length"} if method == "GET" else set()
        )
        return response.status, {k: v for k, v in response.getheaders() if k.lower() not in dropped}, body

    return answer


@contextlib.contextmanager
def serving(answers: Callable[[str, dict], Answer]) -> Iterator[tuple[str, Traffic]]:
    """(address, its traffic) of a server with these answers."""
    traffic = Traffic()

    class Handler(AnyMethodHandler):
        def respond(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()} | {"x-method": self.command}
            is_head = self.command == "HEAD"
            fault = None if is_head or "list-type" in self.path else traffic.next_fault()
            status, sent, body = (fault, {}, b"") if isinstance(fault, int) else answers(self.path, headers)
            body = body[: len(body) // 2] if fault == "short" else body
            length = {"Content-Length": str(len(body))}
            if fault == "truncated":
                self.close_connection = True
                body = body[: len(body) // 2]
            if not is_head:
                traffic.note(self.path, f"{self.command} {self.path} {headers.get('range', '')} {status}", len(body))
            self.answer(status, length | sent if is_head else sent | length, b"" if is_head else body)

    with slow_s3.serving(Handler) as address:
        yield address, traffic
