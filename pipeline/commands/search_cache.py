"""The command search-cache: the moments of a cache that are like a text, an image or another moment."""

from functools import partial
from typing import Any

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.search.settings import SearchConfig

NAME = "search-cache"
JSON_FIELDS = ("command", "cache", "query")


@command(NAME, settings=SearchConfig)
def search_cache(**options: Any) -> None:
    """Find the moments of a cache that are most like a text, an image or another moment.

    Every stored embedding is compared with the query. The first search makes an index outside of the cache, to which
    later ones add what is new. With --duplicates, near-duplicates between videos and outliers are listed instead.
    """
    config = build_config(SearchConfig, options)
    _check_outputs(config)
    lines, document, page = _duplicates(config) if config.duplicates else _moments(config)
    for line in lines:
        echo(line)
    _write(config, document, page)


def _moments(config: SearchConfig) -> tuple[list[str], dict, str]:
    """The table, the JSON document and the page, "" unless it is wanted, of a search."""
    from embedonce.pipeline.search.moments import table_lines
    from embedonce.pipeline.search.results_page import moments_page
    from embedonce.pipeline.search.search import find_moments

    moments = find_moments(config)
    document = _document(config) | {"moments": [moment.as_dict() for moment in moments]}
    page = moments_page(str(config.cache_dir), config.query_text, moments) if config.html else ""
    return [config.query_text, *table_lines(moments)], document, page


def _duplicates(config: SearchConfig) -> tuple[list[str], dict, str]:
    """The same of near-duplicates and outliers."""
    from embedonce.pipeline.search.moments import pair_lines
    from embedonce.pipeline.search.results_page import duplicates_page
    from embedonce.pipeline.search.search import find_duplicates

    found = find_duplicates(config)
    parts = {"pairs": found.pairs, "outliers": found.outliers}
    document = _document(config) | {name: [pair.as_dict() for pair in pairs] for name, pairs in parts.items()}
    page = duplicates_page(str(config.cache_dir), config.query_text, found) if config.html else ""
    near = f"{config.query_text}: {len(found.pairs)} pairs of videos"
    far = "Outliers, each with the nearest frame of another video"
    return [near, *pair_lines(found.pairs), far, *pair_lines(found.outliers)], document, page


def _document(config: SearchConfig) -> dict:
    """The fields of JSON_FIELDS."""
    named = ("text", "image", "video", "time", "class_name", "duplicates", "threshold", "top", "min_gap", "split")
    settings = config.as_dict()
    query = {name: settings[name] for name in (*named, "label_set", "student")}
    return {"command": NAME, "cache": settings["cache_dir"], "query": query}


def _check_outputs(config: SearchConfig) -> None:
    """InputError if a file cannot be written where the user wants it, or was not written by this command."""
    from embedonce.pipeline.errors import InputError
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.files.recognition import is_object, is_sealed

    if config.json is not None and config.html is not None and config.json.resolve() == config.html.resolve():
        raise InputError(f"--json and --html are both {config.json}: choose another file for one of them")
    for option, path in (("--json", config.json), ("--html", config.html)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(f"{option} {path}: there is no folder {path.parent}; make it, or choose another {option}")
        recognizer = partial(is_object, keys=JSON_FIELDS) if option == "--json" else partial(is_sealed, kind=NAME)
        check_replaceable({path: recognizer}, config.overwrite, NAME, option)


def _write(config: SearchConfig, document: dict, page: str) -> None:
    import json

    from embedonce.cache import commit
    from embedonce.pipeline.files.recognition import sealed

    _check_outputs(config)  # the files may have appeared in the meantime
    if config.json is not None:
        commit.replace(config.json, json.dumps(document, indent=1).encode())
        echo(f"results: {config.json}")
    if config.html is not None:
        commit.replace(config.html, sealed(page.encode("utf-8", "backslashreplace"), NAME))
        echo(f"page: {config.html}")
