"""Downloads a shared cache: every file is compared with the manifest, and the folder appears when it is whole."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedonce.cache import commit as durable
from embedonce.cache.completeness import LABEL_SET_FOLDERS
from embedonce.cache.errors import DamagedError
from embedonce.cache.files import digest
from embedonce.cache.layout import Layout
from embedonce.cache.store import refuse_nesting
from embedonce.cache.verify import verify
from embedonce.cache.write_errors import explained
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.hub.cache_files import SharedFile
from embedonce.pipeline.hub.client import Hub
from embedonce.pipeline.hub.manifest import CACHE, MAX_BYTES, Manifest, ManifestError, parsed
from embedonce.pipeline.hub.repositories import MANIFEST_NAME
from embedonce.pipeline.progress import Progress

NAME = "pull-cache"
ORIGIN = ".pulled-from"  # in an unfinished pull: the repository
HUB_FOLDER = ".cache"  # in an unfinished pull: what huggingface_hub knows of downloads
DOWNLOADS_AT_ONCE = 4


class CorruptedShareError(PipelineError):
    """A file of a repository is not what its manifest lists."""

    exit_code = 4


def pull(hub: Hub, output: Path, revision: str | None) -> Manifest:
    """Download a share to a folder that does not exist; what a pull that was stopped has downloaded is used.

    HubError, ManifestError if the repository holds no whole share, CorruptedShareError if a file differs from its
    manifest; the folder appears only if all is well.
    """
    refuse_nesting(output)
    _check_output(output)
    with explained(output), sole_writer(output.parent, f"{NAME}-{output.name}"):
        head = hub.commit_of(revision)  # what is committed from now on does not count
        partial = _begun(output, hub.address)
        manifest = _manifest(hub, head, partial)
        lacking = list(_lacking(partial, manifest))
        check_space(output.parent, sum(file.size for file in lacking), "choose another --output-dir")
        _download(hub, head, partial, lacking)
        _clear(partial, manifest)
        _verify(partial, manifest, hub.address)
        _check_output(output)
        (partial / ORIGIN).unlink()
        partial.rename(output)
        durable.sync_folder(output.parent)
    return manifest


def _check_output(output: Path) -> None:
    """InputError if there is anything at the path but an empty folder, or if that is the current one."""
    if output.absolute() == Path.cwd():
        raise InputError(f"--output-dir {output} is the folder that you are in; name one that does not exist yet")
    if os.path.lexists(output) and not (output.is_dir() and not output.is_symlink() and not any(output.iterdir())):
        raise InputError(f"{output} exists already; choose another --output-dir")


def _begun(output: Path, address: str) -> Path:
    """The folder of the unfinished pull, created if there is none. InputError if it is of another repository."""
    partial = output.with_name(f".{output.name}.pull")
    if not os.path.lexists(partial) or not any(partial.iterdir()):
        durable.make_folder(partial)
        (partial / ORIGIN).write_text(address, "utf-8")
    origin = (partial / ORIGIN).read_text("utf-8") if (partial / ORIGIN).is_file() else "something else"
    if partial.is_symlink() or origin != address:
        raise InputError(f"{partial} holds an unfinished pull of {origin}; delete it, or choose another --output-dir")
    return partial


def _manifest(hub: Hub, head: str, partial: Path) -> Manifest:
    """The manifest of a commit. ManifestError if it has none, CorruptedShareError if files are missing or longer."""
    remote = hub.files(head)
    if MANIFEST_NAME not in remote:
        raise ManifestError(
            f"{hub.address} has no {MANIFEST_NAME}: it is not a shared cache, or its upload was not finished; the one "
            "who uploads it can run push-cache again"
        )
    if remote[MANIFEST_NAME].size > MAX_BYTES:
        raise ManifestError(f"{hub.address}: its {MANIFEST_NAME} has {remote[MANIFEST_NAME].size} bytes, too many")
    hub.download(MANIFEST_NAME, head, partial)
    manifest = parsed((partial / MANIFEST_NAME).read_bytes(), hub.address)
    for file in manifest.files:
        if file.name not in remote or remote[file.name].size != file.size:
            raise CorruptedShareError(_differs(hub, file))
    return manifest


def _differs(hub: Hub, file: SharedFile) -> str:
    return (
        f"{hub.address}: {file.name} is not the file that {MANIFEST_NAME} lists, so nothing was put in place. If it "
        "was damaged on the way, the same command downloads it again; otherwise its owner must run push-cache again"
    )


def _lacking(partial: Path, manifest: Manifest) -> Iterator[SharedFile]:
    """The files that are not there yet; one that differs is deleted."""
    with Progress(None, "checking what is there", "files") as progress:
        for file in manifest.files:
            if not os.path.lexists(partial / file.name):
                yield file
                continue
            progress.update()
            if not _is_sound(partial, file):
                (partial / file.name).unlink()
                yield file


def _download(hub: Hub, head: str, partial: Path, files: list[SharedFile]) -> None:
    def fetch(file: SharedFile) -> SharedFile:
        hub.download(file.name, head, partial)
        if not _is_sound(partial, file):
            (partial / file.name).unlink()
            raise CorruptedShareError(_differs(hub, file))
        return file

    with Progress(len(files), "downloading", "files") as progress:
        for _ in _at_once(fetch, files):
            progress.update()


def _at_once(fetch, files: list[SharedFile]) -> Iterator[SharedFile]:
    """The files in order, fetched by several threads; those that have not begun are given up after an error."""
    pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
    try:
        yield from pool.map(fetch, files)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_sound(partial: Path, file: SharedFile) -> bool:
    try:
        return digest(partial / file.name) == (file.size, file.sha256)
    except DamagedError:  # a link, or not a file
        return False


def _clear(partial: Path, manifest: Manifest) -> None:
    """Delete what the share does not have: of an earlier commit, and of the downloads."""
    shutil.rmtree(partial / HUB_FOLDER, ignore_errors=True)
    kept = {partial / name for name in (ORIGIN, *(file.name for file in manifest.files))}
    for path in sorted(_below(partial), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()
        elif path not in kept:
            path.unlink()


def _below(folder: Path) -> Iterable[Path]:
    return folder.rglob("*")


def _make_empty_folders(layout: Layout) -> None:
    """Make the folders that a cache has even if there is nothing in them, which repositories do not keep."""
    columns = [folder for column in layout.columns() for folder in layout.column_paths(column)]
    inner = [layout.labels / name / folder for name in layout.label_sets() for folder in LABEL_SET_FOLDERS]
    for folder in (*layout.folders, *columns, *inner):
        folder.make_folder()


def _verify(partial: Path, manifest: Manifest, address: str) -> None:
    """CorruptedShareError if the files are those of the manifest, but not a sound cache."""
    if manifest.kind != CACHE:
        return
    _make_empty_folders(Layout.at(partial))
    with Progress(None, "verifying", "shards") as progress:
        report = verify(partial, None, lambda done: progress.update(done - progress.count))
    if report.problems:
        raise CorruptedShareError(f"{address} holds a damaged cache: {report.problems[0].message}")
