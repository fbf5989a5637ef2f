"""ONNX Runtime for browsers: the npm package onnxruntime-web, one version of it, checked file by file.

It comes from the user's npm, whose download is kept in the user's cache folder, or from a folder or .tgz file that they
name.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path

from embedonce.cache import commit
from embedonce.pipeline.errors import InputError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# The files that a page needs, without WebGPU (wasm) and with it (webgpu, asyncify), as sha512sum lists them
_SUMS = (Path(__file__).parent / "runtime.sha512").read_text().split()
FILES = dict(zip(_SUMS[1::2], _SUMS[::2], strict=True))
LICENSES = ("LICENSE", "ThirdPartyNotices.txt")
TIMEOUT_SECONDS = 600
ADVICE = f"install npm (it comes with Node.js), or give --web-runtime a folder or .tgz file of {PACKAGE} {VERSION}"


def load_runtime(given: Path | None) -> dict[str, bytes]:
    """The runtime's files and its licenses, by name.

    given: a folder or .tgz file of the package; None: the one that npm downloads, or downloaded before. InputError if
    it cannot be had, or is not this version.
    """
    if given is None:
        files = _from_npm()
    elif given.is_dir():
        files = _from_folder(given)
    else:
        files = _from_archive(given)
    return files | {name: _license(name) for name in LICENSES}


def cached_archive() -> Path:
    """Where npm's download is kept."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "embedonce" / f"{PACKAGE}-{VERSION}.tgz"


def _from_npm() -> dict[str, bytes]:
    kept = cached_archive()
    if kept.is_file():
        try:
            return _from_archive(kept)
        except InputError:
            pass  # damaged: it is downloaded again and replaced
    with tempfile.TemporaryDirectory() as folder:
        archive = _download(Path(folder))
        files = _from_archive(archive)
        commit.make_folder(kept.parent)
        commit.replace(kept, archive.read_bytes())
    return files


def _download(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"--formats web needs {PACKAGE} {VERSION}, and npm, which downloads it, is missing; {ADVICE}")
    command = [npm, "pack", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        failure = (ran.stderr.strip().splitlines() or ["no message"])[0] if ran.returncode else None
    except subprocess.TimeoutExpired:
        failure = f"it took longer than {TIMEOUT_SECONDS} s"
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if failure or not archive.is_file():
        raise InputError(f"npm cannot download {PACKAGE} {VERSION} ({failure or 'it wrote no file'}); {ADVICE}")
    return archive


def _from_folder(folder: Path) -> dict[str, bytes]:
    """From the package's folder, or the folder `dist` in it."""
    places = (folder, folder / "dist", folder / "package" / "dist")
    place = next((place for place in places if (place / min(FILES)).is_file()), folder)
    files = {}
    for name in FILES:
        try:
            files[name] = (place / name).read_bytes()
        except OSError as error:
            raise InputError(f"{place / name} cannot be read ({error.strerror}); {ADVICE}") from error
    return _checked(files, folder)


def _from_archive(archive: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            files = {name: _member(tar, f"package/dist/{name}") for name in FILES}
    except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{archive} is not a .tgz file of {PACKAGE} ({error}); {ADVICE}") from error
    return _checked(files, archive)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is not a file")
    return file.read()


def _checked(files: dict[str, bytes], source: Path) -> dict[str, bytes]:
    for name, data in files.items():
        if hashlib.sha512(data).hexdigest() != FILES[name]:
            raise InputError(f"{name} in {source} is not that of {PACKAGE} {VERSION}: its SHA-512 differs; {ADVICE}")
    return files


def _license(name: str) -> bytes:
    """A text of ONNX Runtime's license, which the Python package of it has, too."""
    package = find_spec("onnxruntime")
    folders = list(package.submodule_search_locations or ()) if package else []
    found = next((path for folder in folders if (path := Path(folder) / name).is_file()), None)
    if found is None:
        raise InputError(
            f"the installed onnxruntime has no file {name}, which must come with the page; install it again: "
            "pip install --force-reinstall onnxruntime"
        )
    return found.read_bytes()
