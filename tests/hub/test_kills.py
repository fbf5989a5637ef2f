"""Pushes and pulls that are killed at any request leave nothing half, and are continued by the same command."""

import os
import subprocess
import sys

import pytest

from embedonce.cache.verify import verify
from tests.conftest import ROOT
from tests.extraction.test_runner import content
from tests.support.fake_hub import FakeHub, hub
from tests.support.hub_commands import MANIFEST, REPO, WARNING, cache, original, pull, pull_error, push, push_words

__all__ = ["cache", "hub", "original"]
pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.filterwarnings(WARNING)]


def run_and_kill(hub: FakeHub, words: list, method: str, part: str, number: int) -> None:
    """Run a command in a process of its own, and kill it at its n-th request of this kind."""
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "cli.py", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    asked = []

    def kill(asked_method: str, path: str) -> None:
        if asked_method == method and part in path:
            asked.append(path)
            if len(asked) == number:
                process.kill()

    hub.faults.append(kill)
    assert process.wait(timeout=120) == -9
    hub.faults.clear()


@pytest.mark.parametrize(("method", "part", "number"), [("PUT", "/objects/", 4), ("POST", "/commit/", 1)])
def test_a_killed_push_is_continued(cache, hub, tmp_path, method, part, number):
    run_and_kill(hub, push_words(cache), method, part, number)
    if part != "/commit/":  # killed when its last commit was sent, it may be whole
        assert MANIFEST not in hub.content(REPO)
        pull_error(tmp_path, code=4)
    before = set(hub.uploads())
    hub.requests.clear()
    push(cache)
    assert len(before & set(hub.uploads())) <= 1  # the one that was cut off
    assert content(pull(tmp_path)) == content(cache)


@pytest.mark.parametrize("number", [1, 30])
def test_a_killed_pull_is_continued(cache, hub, tmp_path, number):
    push(cache)
    words = ["pull-cache", REPO, "--output-dir", tmp_path / "copy"]
    run_and_kill(hub, words, "GET", "/resolve/", number)
    assert not (tmp_path / "copy").exists()
    hub.requests.clear()
    copy = pull(tmp_path)
    assert content(copy) == content(cache) and verify(copy).extra == []
    downloads = [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]
    assert number == 1 or len(downloads) < 45
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "copy"]
