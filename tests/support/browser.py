"""A headless Chromium for tests: what a page becomes in it, what it complains of, what it asks the network for.

Knows no page. EMBEDONCE_REQUIRE_BROWSER=1 turns the skip where there is no Chromium into a failure.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Visit:
    """dom: markup after loading. console: lines that a page wrote there. requests: URLs that a page asked for."""

    dom: str
    console: tuple[str, ...]
    requests: tuple[str, ...]


def find_chromium() -> str:
    """The program; skips the test, or fails it, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        message = "no Chromium: apt-get install chromium"
        if os.environ.get("EMBEDONCE_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def visit(chromium: str, page: Path, folder: Path, *more: str) -> Visit:
    """Load a file in a fresh profile within folder. more: further switches, such as --window-size=390,800."""
    net_log = folder / f"{page.stem}.net.json"
    switches = [*SWITCHES, *more, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={net_log}", "--dump-dom"]
    command = [chromium, *switches, page.absolute().as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert ran.returncode == 0, ran.stderr
    console = tuple(line for line in ran.stderr.splitlines() if "CONSOLE" in line)
    return Visit(ran.stdout, console, tuple(_requests(json.loads(net_log.read_text()))))


def _requests(log: dict):
    """URLs that were begun to be loaded for a page; what the browser wants for itself has no origin."""
    kinds = log["constants"]["logEventTypes"]
    for event in log["events"]:
        params = event.get("params", {})
        is_begin = event["type"] == kinds["URL_REQUEST_START_JOB"] and "url" in params
        if is_begin and params.get("initiator") != "not an origin":
            yield params["url"]
