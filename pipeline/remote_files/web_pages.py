"""Index pages of web servers: which files and folders they link to, below the folder of the first page."""

import codecs
import email.utils
import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from embedonce.cache.errors import StorageError
from embedonce.pipeline.remote_files.addresses import encoded, file_system, is_web, shown
from embedonce.pipeline.remote_files.failures import RemoteError
from embedonce.pipeline.remote_files.retries import with_retries

MAX_LINKS = 2_000_000  # more may mean that pages lead in circles
MAX_PAGE_BYTES = 64 << 20  # of one page, about 500,000 links
PIECE_BYTES = 1 << 20
HTML = ("text/html", "application/xhtml+xml")


def as_of_objects(info: dict[str, Any]) -> dict[str, Any]:
    """What fsspec knows about a file of a web server, by the names that object stores use."""
    tag = next((info[name] for name in ("ETag", "Content-MD5", "Digest") if info.get(name)), None)
    return info | {"ETag": tag, "LastModified": _time(info.get("Last-Modified", ""))}


def _time(text: str) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None  # a date that servers may write as they like


def is_page(info: dict[str, Any]) -> bool:
    """Whether this is an HTML page, according to its server."""
    return info.get("mimetype", "").lower() in HTML


def folder_of(url: str) -> str:
    """The URL of the folder that an index page at this URL shows."""
    place, mark, query = url.partition("?")
    if not place.endswith("/"):
        is_file = place.rpartition("/")[2].lower().endswith((".html", ".htm", ".php"))
        place = place[: place.rindex("/") + 1] if is_file else f"{place}/"
    return f"{place}{mark}{query}"


def linked_files(page: str) -> dict[str, str]:
    """Name -> URL of the files that an index page and those of its sub-folders link to, below the first one's folder.

    Names are relative paths. The query of the first page's URL, such as a token, is added to links without one.
    RemoteError if a page cannot be read, StorageError if there is no end of them.
    """
    query, base = urlsplit(page).query, folder_of(page)
    root = _Place.of(base)
    files: dict[str, str] = {}
    waiting, seen = deque([page]), {_Place.of(page), root}
    while waiting:
        url = waiting.popleft()
        for link in _links(url, folder_of(url)):
            place = _Place.of(link)
            if place in seen or not place.is_below(root):
                continue  # the same page in another order, a parent folder, or another server
            seen.add(place)
            link = link if "?" in link or not query else f"{link}?{query}"
            if place.parts[-1]:
                files["/".join(place.parts[len(root.parts) - 1 :])] = link
            elif not {".", ".."} & set(place.parts):
                waiting.append(link)
        if len(seen) > MAX_LINKS and waiting:
            raise StorageError(f"{shown(page)} and the pages that it links to have more than {MAX_LINKS} links")
    return files


class _Place(NamedTuple):
    """Where a URL points to. parts: of its path, decoded; the last one is empty for a folder."""

    server: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> "_Place":
        scheme, _, rest = url.partition("://")
        server, _, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
        return cls(f"{scheme}://{server}".lower(), tuple(map(_decoded, path.split("/"))))

    def is_below(self, folder: "_Place") -> bool:
        above = folder.parts[:-1]
        return self.server == folder.server and self.parts[: len(above)] == above and len(self.parts) > len(above)


def _decoded(part: str) -> str:
    """A part of a path without %XX, unless it would become two parts."""
    text = unquote(part, errors="surrogateescape")
    return part if "/" in text else text


def _links(url: str, base: str) -> list[str]:
    """The URLs that a page links to, in its order. base: what its relative links are relative to."""
    collector = _LinkCollector()
    for text in codecs.iterdecode(with_retries(lambda: list(_pieces(url)), url), "utf-8", "surrogateescape"):
        collector.feed(text)
    joined = (_joined(base, link) for link in collector.links)
    return [link for link in joined if is_web(link)]


def _joined(base: str, link: str) -> str:
    try:
        return urldefrag(urljoin(base, link)).url
    except ValueError:
        return ""  # such as an address with an unclosed bracket


def _pieces(url: str) -> Iterator[bytes]:
    num_bytes = 0
    with file_system(url).open(encoded(url), block_size=0) as page:
        while piece := page.read(PIECE_BYTES):
            num_bytes += len(piece)
            if num_bytes > MAX_PAGE_BYTES:
                raise RemoteError(f"{shown(url)} is a page of more than {MAX_PAGE_BYTES} bytes")
            yield piece


class _LinkCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value.strip() for name, value in attrs if tag == "a" and name == "href" and value]
