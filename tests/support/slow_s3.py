"""Small S3 doubles: one that passes everything on to another but holds videos back, one that refuses everything."""

import contextlib
import http.client
import http.server
import sys
import threading
from collections.abc import Iterator


class QuietHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status: int, headers: dict, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have been killed meanwhile
            self.wfile.write(body)


class AnyMethodHandler(QuietHandler):
    """Handles all methods in one place."""

    def respond(self) -> None:
        raise NotImplementedError

    def do_GET(self):
        self.respond()

    def do_HEAD(self):
        self.respond()

    def do_PUT(self):
        self.respond()

    def do_POST(self):
        self.respond()

    def do_DELETE(self):
        self.respond()


@contextlib.contextmanager
def holding_back(endpoint: str) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """(endpoint, asked, release): a video is sent by half; the rest when `release` is set."""
    asked, release = threading.Event(), threading.Event()
    host = endpoint.removeprefix("http://")

    class Handler(QuietHandler):
        def do_GET(self):
            connection = http.client.HTTPConnection(host)
            connection.request(self.command, self.path, headers=dict(self.headers))
            response = connection.getresponse()
            body, headers = response.read(), {k: v for k, v in response.getheaders() if k.lower() != "connection"}
            connection.close()
            is_video = self.command == "GET" and ".mp4" in self.path
            half = len(body) // 2 if is_video else len(body)
            self.answer(response.status, headers, body[:half])
            if is_video:
                asked.set()
                release.wait()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body[half:])

        def do_HEAD(self):
            self.do_GET()

    with serving(Handler) as where:
        try:
            yield where, asked, release
        finally:
            release.set()


@contextlib.contextmanager
def refusing(code: str, status: int = 403) -> Iterator[str]:
    """The endpoint of an S3 that answers everything with an error of this code."""

    class Handler(QuietHandler):
        def do_GET(self):
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Refused.</Message></Error>".encode()
            is_head = self.command == "HEAD"
            headers = {"Content-Type": "application/xml", "Content-Length": str(0 if is_head else len(body))}
            self.answer(status, headers, b"" if is_head else body)

        def do_HEAD(self):
            self.do_GET()

    with serving(Handler) as where:
        yield where


@contextlib.contextmanager
def serving(handler) -> Iterator[str]:
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            if not issubclass(sys.exc_info()[0], ConnectionError):  # of a client that hung up
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
