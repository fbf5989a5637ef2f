"""A folder behind a URL: the names of all files below it, and the files themselves. Reads no file's content."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.addresses import MEMORY, check_url, file_system, is_web, scheme_of
from embedonce.pipeline.remote_files.failures import RemoteError
from embedonce.pipeline.remote_files.remote_file import RemoteFile, described, name_of
from embedonce.pipeline.remote_files.retries import with_retries
from embedonce.pipeline.remote_files.spool import spool_of_run
from embedonce.pipeline.remote_files.web_pages import is_page, linked_files
from embedonce.pipeline.settings.paths import without_secrets

THREADS = 16  # they wait for answers


class RemoteFolder:
    """Everything below a URL, or the single file of this URL. Listed once, when names() is first called.

    Names are relative, with forward slashes. StorageError for a URL that cannot be one.
    """

    def __init__(self, url: str):
        check_url(url)
        self._url = url
        self._files: dict[str, RemoteFile] = {}
        self._urls: dict[str, str] | None = None  # name -> URL

    def __str__(self) -> str:
        return without_secrets(self._url)

    def __truediv__(self, name: str) -> RemoteFile:
        """A file that describe() has described."""
        return self._files[name]

    def names(self) -> list[str]:
        """The names of all files, sorted.

        InputError if there is no such folder, StorageError if it cannot be listed now.
        """
        if self._urls is None:
            try:
                self._urls = self._read_index_pages() if is_web(self._url) else self._list_objects()
            except RemoteError as error:
                raise (InputError if error.is_missing else StorageError)(str(error)) from error
        return sorted(self._urls)

    def describe(self, names: Iterable[str]) -> dict[str, str]:
        """Find out length and version of these files, where the listing lacks them; returns name -> what failed."""
        unknown = [name for name in names if name not in self._files]
        failures = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for name, found in zip(unknown, pool.map(self._described, unknown), strict=True):
                if isinstance(found, RemoteFile):
                    self._files[name] = found
                else:
                    failures[name] = found
        return failures

    def _described(self, name: str) -> RemoteFile | str:
        assert self._urls is not None
        file = _file_at(self._urls[name])
        return file if isinstance(file, RemoteFile) else str(file)

    def _list_objects(self) -> dict[str, str]:
        scheme, root = scheme_of(self._url), self._url.partition("://")[2].strip("/")
        where = f"{scheme}://{root}"
        found = with_retries(lambda: file_system(where).find(where, detail=True), where)
        root = file_system(where)._strip_protocol(where).strip("/")
        urls = {}
        for path, info in found.items():
            path = path.strip("/") if scheme == MEMORY else path
            name = path.removeprefix(f"{root}/") if path != root else name_of(path)
            if info["type"] == "file" and not path.endswith("/"):
                urls[name] = f"{where}{path.removeprefix(root)}"
                self._files[name] = RemoteFile.of(urls[name], info, spool_of_run())
        return urls

    def _read_index_pages(self) -> dict[str, str]:
        info = described(self._url)
        if is_page(info):
            return linked_files(info["url"])  # where the server redirected to
        if self._url.partition("?")[0].endswith("/"):
            kind = info.get("mimetype", "of an unknown type")
            raise InputError(f"{self} is not an index page with links to videos: it is {kind}")
        name = name_of(self._url)
        self._files[name] = RemoteFile.of(self._url, info, spool_of_run())
        return {name: self._url}


def files_at(urls: Iterable[str]) -> dict[str, RemoteFile | RemoteError]:
    """The single file behind each URL, or why it cannot be read. StorageError if a library is missing."""
    urls = list(urls)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(urls, pool.map(_file_at, urls), strict=True))


def _file_at(url: str) -> RemoteFile | RemoteError:
    try:
        return RemoteFile.of(url, described(url), spool_of_run())
    except RemoteError as error:
        return error
