"""A folder behind a URL: the names of all files below it, and the files themselves. Reads no file's content."""

import html
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urljoin

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.addresses import BACKENDS, check_url, file_system, scheme_of, shown
from embedonce.pipeline.remote_files.failures import Kind, RemoteError
from embedonce.pipeline.remote_files.remote_file import RemoteFile, name_of
from embedonce.pipeline.remote_files.retries import with_retries
from embedonce.pipeline.remote_files.spool import spool_of_run

MAX_PAGES = 100_000  # index pages of a web server: more means that they lead in circles
THREADS = 16  # they wait for answers


class RemoteFolder:
    """Everything below a URL, or the single file of this URL. Listed once, when names() is first called.

    Names are relative, with forward slashes. InputError for a URL that cannot be one.
    """

    def __init__(self, url: str):
        check_url(url)
        self.url = url
        self._files: dict[str, RemoteFile] = {}
        self._urls: dict[str, str] | None = None  # name -> URL

    def __str__(self) -> str:
        return shown(self.url)

    def __truediv__(self, name: str) -> RemoteFile:
        """A file that describe() has described."""
        return self._files[name]

    def names(self) -> list[str]:
        """The names of all files, sorted.

        InputError if there is no such folder, StorageError if it cannot be listed now.
        """
        if self._urls is None:
            try:
                self._urls = self._listed()
            except RemoteError as error:
                raise (InputError if error.kind is Kind.MISSING else StorageError)(str(error)) from error
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
        url = self._urls[name]
        try:
            info = with_retries(lambda: file_system(url).info(url), url)
            return RemoteFile.of(url, info, spool_of_run())
        except RemoteError as error:
            return str(error)

    def _listed(self) -> dict[str, str]:
        if BACKENDS[scheme_of(self.url)].has_listing:
            return self._list_objects()
        return self._read_index_pages()

    def _list_objects(self) -> dict[str, str]:
        found = with_retries(lambda: file_system(self.url).find(self.url, detail=True), self.url)
        scheme, root = scheme_of(self.url), self.url.partition("://")[2].strip("/")
        urls = {}
        for path, info in found.items():
            path = path.strip("/") if scheme == "memory" else path
            name = path.removeprefix(f"{root}/") if path != root else name_of(path)
            if info["type"] == "file" and not path.endswith("/"):
                urls[name] = f"{scheme}://{path}"
                self._files[name] = RemoteFile.of(urls[name], info, spool_of_run())
        return urls

    def _read_index_pages(self) -> dict[str, str]:
        """The links of a web server's index page and of those of its sub-folders."""
        if not self.url.endswith("/") and "." in name_of(self.url):
            return {name_of(self.url): self.url}
        root = self.url if self.url.endswith("/") else f"{self.url}/"
        urls: dict[str, str] = {}
        waiting, seen = deque([root]), {root}
        while waiting:
            for link in _links(waiting.popleft()):
                if not link.startswith(root) or link in seen or "?" in link or "#" in link:
                    continue  # a parent folder, another server, or the same page in another order
                seen.add(link)
                if link.endswith("/"):
                    waiting.append(link)
                else:
                    urls[unquote(link.removeprefix(root))] = link
            if len(seen) > MAX_PAGES and waiting:
                raise StorageError(f"{self} has more than {MAX_PAGES} pages: its links may lead in circles")
        return urls


def _links(page: str) -> list[str]:
    found: Any = with_retries(lambda: file_system(page).ls(page, detail=False), page)
    return [urljoin(page, html.unescape(link)) for link in found]
