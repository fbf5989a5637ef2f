"""open_cache(): where work with a cache begins."""

from pathlib import Path

from embedonce.cache.store import open_reader
from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.api.cache import Cache
from embedonce.pipeline.api.keywords import local_path
from embedonce.pipeline.api.python_terms import in_python_terms


def open_cache(path: Path | str) -> Cache:
    """Open a cache for reading: a folder, or a URL such as "s3://bucket/prefix".

    NotACacheError (a FileNotFoundError) if it is not a cache, DamagedError if it cannot be read.
    """
    with in_python_terms():
        return Cache(open_reader(path if is_url(path) else local_path("path", path)))
