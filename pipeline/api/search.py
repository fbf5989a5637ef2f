"""search(): the command search-cache as a function."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from embedonce.pipeline.api.cache import Cache
from embedonce.pipeline.api.keywords import check_names, settings_from
from embedonce.pipeline.api.open_cache import open_cache
from embedonce.pipeline.api.option_types import SearchOptions
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.api.query_options import NOT_TAKEN
from embedonce.pipeline.api.signatures import takes_options_of, visible_options
from embedonce.pipeline.search.settings import SearchConfig

if TYPE_CHECKING:
    from embedonce.pipeline.search.moments import Moment


@takes_options_of(SearchConfig, without=NOT_TAKEN)
def search(cache: Cache | Path | str, **options: Unpack[SearchOptions]) -> "list[Moment]":
    """The moments of a cache that are most like a query, best first.

    cache: open, or its path. The query is one of text, image, class_name, or video with time. A moment has the uid and
    the source of its video, t_sec, the names of its classes as label, score, the cosine with the query, and thumbnail,
    the bytes of its JPEG.

    Raises TypeError and ValueError for wrong arguments, PipelineError and CacheError for what cannot be searched,
    ModelError for a teacher that cannot be loaded.
    """
    check_names("search", options, visible_options(SearchConfig, NOT_TAKEN))
    opened = cache if isinstance(cache, Cache) else open_cache(cache)
    config = settings_from(SearchConfig, "search", {**options, "cache_dir": opened.path})
    from embedonce.pipeline.search.search import find_moments

    with in_python_terms(SearchConfig.options()):
        return find_moments(config, opened.reader)
