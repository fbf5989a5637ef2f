"""Messages of commands in the terms of the library: `--cache-dir` becomes `cache_dir`."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from embedonce.cache.errors import CacheError
from embedonce.models.errors import ModelError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.settings.options import Option

_COMMAND_OR_FLAG = re.compile(r"cli\.py [^;`]*|(?<![\w-])--(?P<name>[a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


def in_terms_of(options: Iterable[Option], text: str) -> str:
    """The text with the names of keywords in place of flags, also of those that are aliases; commands in it stay."""
    aliases = {alias: option.name for option in options for alias in option.aliases}

    def keyword(match: re.Match) -> str:
        return aliases.get(match[0], match["name"].replace("-", "_")) if match["name"] else match[0]

    return _COMMAND_OR_FLAG.sub(keyword, text)


@contextlib.contextmanager
def in_python_terms(options: Iterable[Option] = ()) -> Iterator[None]:
    """Errors that are for the user, as they are raised here, speak of keywords and not of flags."""
    try:
        yield
    except (PipelineError, CacheError, ModelError) as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (in_terms_of(options, error.args[0]), *error.args[1:])
        raise
