"""The URLs that videos are read from, what may be shown of them, and the fsspec file system behind each.

fsspec and the libraries of its file systems are imported when a URL is first used, as they take long to import.
"""

import os
from typing import Any
from urllib.parse import quote, urlsplit

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.object_urls import SCHEMES, open_file_system
from embedonce.pipeline.remote_files.computed_once import ComputedOnce
from embedonce.pipeline.settings.paths import without_secrets

CONNECT_SEC, READ_SEC = 10.0, 30.0  # of silence after which a request to a web server is given up
WEB = ("http", "https")
MEMORY = "memory"
_HAVE_USERS = ("az", "abfs", "abfss")  # container@account
_KEPT_IN_PATHS, _KEPT_IN_QUERIES = "/%:@!$&'()*+,;=~", "/%:@!$&'()*+,;=~?"


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    return scheme_of(url) in WEB


def shown(url: str) -> str:
    """The URL of a file for messages: those of web servers without their query, which may be a signature."""
    return without_secrets(url) if is_web(url) else url


def check_url(url: str) -> None:
    """StorageError for a URL of an unknown kind, one that lacks its bucket or host, and one that contains a secret that
    would not stay one.
    """
    scheme, where = scheme_of(url), without_secrets(url)
    if scheme not in (*WEB, *SCHEMES):
        known = ", ".join(f"{name}://" for name in (*WEB, *SCHEMES))
        raise StorageError(f"{where}: videos cannot be read from {scheme}://, only from local folders and from {known}")
    try:
        parts = urlsplit(url)
        has_user = parts.username is not None and (scheme not in _HAVE_USERS or parts.password is not None)
        has_host = bool(parts.hostname if scheme in WEB else parts.netloc) or scheme == MEMORY
        _ = parts.port
    except ValueError as error:
        raise StorageError(f"{where} is not a URL: {error}") from error
    if has_user:
        hint = "put them into ~/.netrc" if scheme in WEB else "use the settings of the store's own tools"
        raise StorageError(f"{where}: URLs must not contain user names or passwords; {hint}")
    if not has_host:
        raise StorageError(f"{where} names no bucket or host; write {scheme}://NAME/FOLDER")
    if "?" in url and scheme not in WEB:
        raise StorageError(f"{where}: only the URLs of web servers may have a query, which begins with '?'")


def encoded(url: str) -> str:
    """The URL of a web server as it is sent: other characters as %XX, and without a fragment."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    place, mark, query = rest.partition("?")
    host, slash, path = place.partition("/")
    return f"{scheme.lower()}://{host}{slash}{_quoted(path, _KEPT_IN_PATHS)}{mark}{_quoted(query, _KEPT_IN_QUERIES)}"


def _quoted(text: str, kept: str) -> str:
    return quote(text, safe=kept, errors="surrogateescape")


def file_system(url: str) -> Any:
    """The fsspec file system of this process that reads a URL. StorageError if a package that it needs is missing."""
    bucket = scheme_of(url) if is_web(url) else "/".join(url.split("/")[:3])
    return file_system_of(bucket, os.getpid())


@ComputedOnce
def file_system_of(bucket: str, _process: int) -> Any:
    """bucket: the URL of one, or the scheme of web servers."""
    return _web_file_system() if bucket in WEB else open_file_system(bucket)[0]


def _web_file_system() -> Any:
    """Proxies of the environment are used; bodies are never compressed, so that ranges are those of the file."""
    import fsspec

    try:
        import aiohttp
    except ImportError as error:
        raise StorageError(f'https:// needs a library: pip install "embedonce[http]" ({error})') from error
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SEC, sock_read=READ_SEC)
    client = {"timeout": timeout, "trust_env": True, "requote_redirect_url": False}
    headers = {"Accept-Encoding": "identity"}
    options = {"skip_instance_cache": True, "use_listings_cache": False, "encoded": True}
    return fsspec.filesystem("https", client_kwargs=client, headers=headers, **options)
