"""Live sources without a network or a camera: FFmpeg's test picture paced like a camera, and small web servers."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av


class FakeCamera:
    """FFmpeg's test picture as a camera: `seconds` of it at `rate` frames per second, in real time.

    ends: "" to end as a stream does, "vanishes" with the error of a camera that is unplugged, or "stalls".
    """

    def __init__(self, seconds: float, rate: int = 20, ends: str = "", size: str = "320x240"):
        self._seconds, self._ends, self._released = seconds, ends, threading.Event()
        self._container = av.open(f"testsrc=size={size}:rate={rate}", format="lavfi")
        self.streams = self._container.streams
        self.opened: list[tuple[str, float]] = []

    def open(self, device: str, timeout_sec: float) -> "FakeCamera":
        self.opened.append((device, timeout_sec))
        return self

    def __enter__(self) -> "FakeCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def release(self) -> None:
        """End a stall."""
        self._released.set()

    def demux(self, stream) -> Iterator[av.Packet]:
        began = time.monotonic()
        for packet in self._container.demux(stream):
            at = float(packet.pts * packet.time_base)
            if at >= self._seconds:
                break
            time.sleep(max(0.0, began + at - time.monotonic()))
            yield packet
        if self._ends == "stalls":
            self._released.wait(60)
        if self._ends == "vanishes":
            raise av.error.OSError(19, "No such device", "/dev/video0")


@contextlib.contextmanager
def stream_server(
    data: bytes, then: Callable[[], object] = lambda: None, status: int = 200, has_end: bool = True
) -> Iterator[str]:
    """The URL of a server that sends these bytes without their length, calls `then`, and closes the connection.

    has_end: whether it is sent in chunks, of which one is the last; otherwise only the closed connection ends it.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "video/mp2t")
            self.send_header(*(("Transfer-Encoding", "chunked") if has_end else ("Connection", "close")))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if has_end and data else data)
                self.wfile.flush()
                then()
                self.wfile.write(b"0\r\n\r\n" if has_end else b"")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/live.ts"
    finally:
        server.shutdown()
        server.server_close()


def transport_stream(video: Path, path: Path) -> Path:
    """The same packets as an MPEG transport stream."""
    with av.open(str(video)) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path
