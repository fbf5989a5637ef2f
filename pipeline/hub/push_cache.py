"""Uploads a cache, or its embeddings alone, to a repository of the Hugging Face Hub.

The cache is verified before anything is sent. Files are added first; the last commit brings the manifest and whatever
replaces or deletes files of an earlier push, so that every commit is either a whole share or has no manifest.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.errors import BusyError, StorageError
from embedonce.cache.files import digest
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, refuse_busy
from embedonce.cache.stores.registry import Location
from embedonce.cache.verify import verify
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.hub.cache_files import CacheFiles, SharedFile, git_blob_id
from embedonce.pipeline.hub.dataset_card import dataset_card
from embedonce.pipeline.hub.embedding_tables import write_tables
from embedonce.pipeline.hub.known_datasets import KnownDataset, known_datasets
from embedonce.pipeline.hub.manifest import CACHE, EMBEDDINGS, Manifest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.runtimes.requirements import PARQUET, require


class UnsoundCacheError(PipelineError):
    """The cache is damaged; nothing was sent."""

    exit_code = 4


@dataclass(frozen=True)
class PushRequest:
    """What to share, and where. revision: a branch, None for the main one. has_right: the user may share it."""

    cache_dir: Location
    repo: str
    license_id: str
    with_frames: bool = True
    is_private: bool = False
    revision: str | None = None
    has_right: bool = False


@dataclass(frozen=True)
class Share:
    """What would be public: files, their content by name, the card, and what a user should know before.

    check: raises an error if the cache has changed since the files were listed.
    """

    manifest: Manifest
    content: Callable[[str], bytes | Path]
    card: bytes
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]
    check: Callable[[], None]


@contextlib.contextmanager
def prepared(request: PushRequest) -> Iterator[Share]:
    """The share of a cache that was verified. BusyError while another process writes the cache.

    InputError if it seems to be of a data set whose license may not allow it, or a library is missing.
    UnsoundCacheError if it is damaged.
    """
    if not request.with_frames:
        require(PARQUET, "--no-frames")
    with contextlib.suppress(StorageError):  # a cache that may only be read
        refuse_busy(request.cache_dir)
    reader = open_reader(request.cache_dir)
    datasets = known_datasets(reader)
    _check_right(request, datasets)
    extra = _verified(request.cache_dir)
    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        files = CacheFiles(reader, extra)
        if request.with_frames:
            yield _share(request, reader, CACHE, files.shared(), files.content, files, datasets)
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedonce-push-")))
        tables = _tables(reader, folder)
        yield _share(request, reader, EMBEDDINGS, tables, folder.joinpath, files, datasets)


def _check_right(request: PushRequest, datasets: Sequence[KnownDataset]) -> None:
    """InputError unless the user may share this, as far as that is known."""
    concerned = [dataset.name for dataset in datasets if request.with_frames or dataset.is_by_agreement]
    if concerned and not request.has_right:
        what = "frames of its videos" if request.with_frames else "what is computed from its videos"
        raise InputError(
            f"{request.cache_dir} seems to be made from {', '.join(concerned)}, whose license may not allow passing on "
            f"{what}: read it, and give --i-have-the-right-to-share if you may"
            + ("" if not request.with_frames else ", or share the embeddings alone with --no-frames if it allows that")
        )


def _verified(cache_dir: Location) -> list[str]:
    """The names of files that nothing in the cache refers to. UnsoundCacheError if the cache is damaged."""
    with Progress(None, "verifying", "shards") as progress:
        report = verify(cache_dir, None, lambda done: progress.update(done - progress.count))
    if report.problems:
        raise UnsoundCacheError(
            f"{cache_dir} is damaged, so nothing was uploaded: {report.problems[0].message}; verify-cache lists all "
            f"{len(report.problems)} problems"
        )
    return [path.relative for path in report.extra]


def _tables(reader: CacheReader, folder: Path) -> list[SharedFile]:
    with Progress(reader.num_rows, "writing tables", "rows") as progress:
        names = write_tables(reader, folder, progress.update)
    return [_table(folder, name) for name in names]


def _table(folder: Path, name: str) -> SharedFile:
    size, sha256 = digest(folder / name)
    is_text = name.endswith(".json")
    return SharedFile(name, size, sha256, git_blob_id((folder / name).read_bytes()) if is_text else "")


def _share(
    request: PushRequest,
    reader: CacheReader,
    kind: str,
    shared: list[SharedFile],
    content: Callable[[str], bytes | Path],
    files: CacheFiles,
    datasets: Sequence[KnownDataset],
) -> Share:
    name = reader.identity.teacher.name
    manifest = Manifest(kind, name, reader.num_rows, len(reader.video_uids), tuple(shared))
    card = dataset_card(reader, manifest, request.repo, request.license_id, datasets)
    left_out = tuple(files.left_out) if kind == CACHE else ()

    def check() -> None:
        if files.have_changed():
            raise BusyError(f"{reader.cache_dir} was changed while it was shared; run the same command again")

    check()
    return Share(manifest, content, card, left_out, tuple(_remarks(reader, shared, content)), check)


def _remarks(reader: CacheReader, shared: list[SharedFile], content: Callable[[str], bytes | Path]) -> Iterator[str]:
    """What is in a share that its maker may not think of."""
    sources = [video.source for part in reader.plan() for video in part.videos][:3] or list(reader.video_uids[:3])
    yield f"names of videos are in it, such as {', '.join(sources)}" if sources else "it has no videos"
    home = str(Path.home()).encode()
    for file in shared:
        data = content(file.name) if file.name.endswith(".json") else b""
        data = data.read_bytes() if isinstance(data, Path) else data
        if len(home) > 1 and home in data:
            yield f"{file.name} has a path of this machine in it"
