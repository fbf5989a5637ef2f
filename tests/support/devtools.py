"""A page in a headless Chromium that a test acts on: scripts are run in it, keys pressed, and what it asks for is seen.

Speaks the DevTools protocol. Knows no page.
"""

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websocket import create_connection

from tests.support.browser import SWITCHES, TIMEOUT_SECONDS

KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Enter": 13, "Tab": 9}


class Tab:
    """console: lines and errors of the page. requests: URLs that it asked for, data: URLs left out."""

    def __init__(self, address: str):
        self._socket = create_connection(address, timeout=TIMEOUT_SECONDS, suppress_origin=True)
        self._number = 0
        self._loaded = False
        self.console: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while (message := self._receive()).get("id") != self._number:
            pass
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def open(self, url: str) -> None:
        """Load a page, and wait until it is loaded. A page that only gets another fragment is not loaded again."""
        self._loaded = False
        is_new = "loaderId" in self.send("Page.navigate", url=url)
        while is_new and not self._loaded:
            self._receive()

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key of KEYS."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window, in CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        """Make the window this large, in CSS pixels."""
        about = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **about)

    def prefer(self, scheme: str) -> None:
        """scheme: "light" or "dark"."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> dict:
        message = json.loads(self._socket.recv())
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.console.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])
        return message


@contextlib.contextmanager
def browser_tab(chromium: str, folder: Path) -> Iterator[Tab]:
    """An empty page in a fresh profile within folder."""
    switches = [*SWITCHES, "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"]
    with open(folder / "chromium.log", "w") as log:
        process = subprocess.Popen([chromium, *switches, "about:blank"], stdout=log, stderr=log)
    try:
        tab = Tab(_address(folder / "chromium.log", process))
        yield tab
        tab.close()
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def _address(log: Path, process: subprocess.Popen) -> str:
    """The address of the first page, once the browser listens."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        port = re.search(r"DevTools listening on ws://[^:]+:(\d+)/", log.read_text())
        pages = _pages(port[1]) if port else []
        if pages:
            return pages[0]["webSocketDebuggerUrl"]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no page after {TIMEOUT_SECONDS} s: {log.read_text()}")


def _pages(port: str) -> list[dict]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=TIMEOUT_SECONDS) as answer:
        return [target for target in json.load(answer) if target["type"] == "page"]
