"""Paths from command lines and configuration files: `~` and variables are expanded, URLs are refused."""

import os
import re
from pathlib import Path

from embedonce.models.names import FOLDER_SCHEMA

VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_REMOTE = re.compile(r"(?:[A-Za-z][\w+.-]+:/|[\w.-]+@[\w.-]+:)", re.ASCII)
_FILE = re.compile(r"file:/+", re.IGNORECASE)
_WITH_CONTAINERS = ("az", "abfs", "abfss")  # such as abfs://container@account/folder
_URL_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+", re.ASCII)


def without_secrets(url: str) -> str:
    """A URL without what may be secret: user name, password, and the query, which may be a token or a signature."""
    scheme, separator, rest = url.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    user, _, name = host.rpartition("@")
    is_container = user and ":" not in user and scheme.lower() in _WITH_CONTAINERS
    return f"{scheme}{separator}{host if is_container else name}{slash}{path}"


def without_secrets_in(text: str) -> str:
    """The text, with without_secrets() applied to every URL in it."""
    return _URL_IN_TEXT.sub(lambda match: without_secrets(match[0]), text)


def check_local(text: str) -> None:
    """ValueError if this is a URL or a path on another machine; also `s3:/bucket`, which pathlib makes of a URL."""
    if not _REMOTE.match(text):
        return
    if _FILE.match(text):
        raise ValueError(f"{text!r} is a URL; give the path itself: {_FILE.sub('/', text, count=1)}")
    raise ValueError(
        f"{text!r} is a URL or a path on another machine, but only local paths are supported; mount it or copy it "
        f"here (for a local folder of that name, give ./{text})"
    )


def expand(text: str) -> str:
    """The path with a leading `~` or `~user` and all `$NAME` and `${NAME}` replaced.

    If a folder exists whose name literally contains `$NAME`, the path is left as it is. ValueError if both that folder
    and the expanded path exist, if a variable or user is unknown, if the path is empty, and if it is not local.
    `local-dir:` before the folder of a model stays.
    """
    if text.startswith(FOLDER_SCHEMA):
        return FOLDER_SCHEMA + expand(text.removeprefix(FOLDER_SCHEMA))
    if not text.strip():
        raise ValueError("the path is empty; the current folder is .")
    check_local(text)
    path = _home(_variables(text), text)
    check_local(path)
    return path


def _variables(text: str) -> str:
    """The text with its variables replaced, unless a file or folder exists whose name literally contains them."""
    variables = list(VARIABLE.finditer(text))
    if not variables:
        return text
    end = text.find("/", variables[-1].end())
    literal = text if end < 0 else text[:end]  # up to the last component with a variable: the rest may be new
    literal_exists = os.path.lexists(os.path.expanduser(literal))
    unknown = [name for name in map(_name, variables) if not os.environ.get(name)]
    if unknown and not literal_exists:
        raise ValueError(f"{text!r}: the variable {unknown[0]} is not set, and no file or folder has this literal name")
    if unknown:
        return text
    replaced = VARIABLE.sub(lambda match: os.environ[_name(match)], literal)
    if not literal_exists:
        return replaced + text[len(literal) :]
    if os.path.lexists(os.path.expanduser(replaced)):
        raise ValueError(
            f"{text!r}: both {literal!r} itself and {replaced!r} exist; give the one you mean by another path, or "
            "rename one of them"
        )
    return text


def _name(match: re.Match) -> str:
    return match[1] or match[2]


def _home(path: str, text: str) -> str:
    """The path with `~` replaced by the home folder. text: the path as the user gave it."""
    home = os.path.expanduser(path)
    if path.startswith("~") and home == path and not os.path.lexists(text):
        raise ValueError(f"{text!r}: there is no such user; for a folder of that name, give ./{text}")
    return home


def check_local_paths(values: dict[str, object]) -> None:
    """Apply check_local to all values that are paths or tuples of paths; name: of the setting, for the error."""
    for name, value in values.items():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path):
                try:
                    check_local(str(path))
                except ValueError as error:
                    raise ValueError(f"--{name.replace('_', '-')}: {error}") from error
