"""A page in a headless Chromium that tests drive through the DevTools protocol: scripts, chosen files, requests.

Knows no page. The server of `served` sends the headers of Python's http.server, nothing else.
"""

import base64
import contextlib
import http.server
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import websocket

from tests.support.browser import SWITCHES, find_chromium

STARTING_SECONDS = 60
ANSWER_SECONDS = 240
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Enter": 13, "Tab": 9}
NO_NAMES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class Page:
    """A tab. requests: URLs it has asked for, data: URLs left out. complaints: what was logged, by it or about it.

    process_id: of the browser.
    """

    def __init__(self, address: str, process_id: int):
        self.process_id = process_id
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = websocket.create_connection(address, timeout=ANSWER_SECONDS)
        self._last = self._loads = 0
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict:
        """The result of a command of the protocol; AssertionError if it fails."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._last:
                assert "error" not in message, (method, message)
                return message["result"]
            self._note(message)

    def close(self) -> None:
        self._socket.close()

    def open(self, url: str) -> None:
        """Load a page; returns when its documents, style sheets and scripts have been loaded.

        A page that only gets another fragment is not loaded again.
        """
        before = self._loads
        is_new = "loaderId" in self.call("Page.navigate", url=url)
        while is_new and self._loads == before:
            self._note(json.loads(self._socket.recv()))

    def run(self, script: str) -> Any:
        """The value of a script, as JSON; promises are awaited. AssertionError if it throws."""
        made = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def wait(self, script: str, seconds: float = ANSWER_SECONDS) -> Any:
        """The value of a script as soon as it is true. AssertionError if it does not become true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.05)
        shown = self.run("document.body.innerText")
        raise AssertionError(f"{script} did not become true; {self.complaints}; {shown}")

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an <input type=file>."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path.absolute())], nodeId=node)

    def press(self, key: str) -> None:
        """Press and release a key of KEYS."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window, in CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        """Make the window this large, in CSS pixels."""
        about = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **about)

    def prefer(self, scheme: str) -> None:
        """scheme: "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path, width: int = 1200, height: int = 800, scheme: str = "light") -> None:
        """Save a picture of the page. scheme: "light" or "dark"."""
        self.prefer(scheme)
        self.resize(width, height)
        time.sleep(0.5)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _note(self, message: dict) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])
        elif message.get("method") == "Page.loadEventFired":
            self._loads += 1
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(params["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))


@contextlib.contextmanager
def opened(folder: Path, *more: str, without: tuple[str, ...] = ()) -> Iterator[Page]:
    """An empty tab in a fresh profile within folder. more: further switches; without: usual ones that are left out."""
    profile = folder / "profile"
    usual = [s for s in SWITCHES if "host-resolver" not in s and s not in without]
    switches = [*usual, NO_NAMES, *more, f"--user-data-dir={profile}"]
    command = [find_chromium(), *switches, "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank"]
    with (folder / "chromium.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            port = int(_waited_text(profile / "DevToolsActivePort").splitlines()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            with contextlib.closing(Page(tabs[0]["webSocketDebuggerUrl"], process.pid)) as page:
                yield page
        finally:
            process.terminate()


def _waited_text(path: Path) -> str:
    end = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < end:
        if path.exists() and "\n" in (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"Chromium did not write {path}")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder, as `python -m http.server` serves it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
