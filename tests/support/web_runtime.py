"""The npm package onnxruntime-web for tests: a small stand-in with its own sums, an npm that packs it, the real one."""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.export.web_page import runtime

ARCHIVE = f"{runtime.PACKAGE}-{runtime.VERSION}.tgz"
NPM = """#!/bin/sh
echo "$@" >> {folder}/calls
{action}
"""


def make_package(folder: Path, monkeypatch) -> Path:
    """A folder with the package's files, of short content; the sums in the code are theirs from now on."""
    dist = folder / "package" / "dist"
    dist.mkdir(parents=True)
    for name in runtime.FILES:
        (dist / name).write_bytes(f"content of {name}".encode())
    sums = {path.name: hashlib.sha512(path.read_bytes()).hexdigest() for path in dist.iterdir()}
    monkeypatch.setattr(runtime, "FILES", {name: sums[name] for name in runtime.FILES})
    return dist.parent


def pack(package: Path, archive: Path) -> Path:
    """The package as the .tgz file that npm makes."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted((package / "dist").iterdir()):
            member = tarfile.TarInfo(f"package/dist/{path.name}")
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    return archive


def install_npm(folder: Path, monkeypatch, action: str) -> Path:
    """Make a shell script with this action the only npm, and folder the user's cache. Returns the file of its calls."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    npm = programs / "npm"
    npm.write_text(NPM.format(folder=folder, action=action))
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder / "calls"


def real_runtime() -> dict[str, bytes]:
    """The real package. Where it cannot be had, the test is skipped, or fails if browser tests are required and npm is
    installed."""
    try:
        return runtime.load_runtime(None)
    except InputError as error:
        if os.environ.get("EMBEDONCE_REQUIRE_BROWSER") == "1" and shutil.which("npm"):
            pytest.fail(str(error))
        pytest.skip(str(error))
