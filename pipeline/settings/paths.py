"""Paths as command lines and configuration files give them: `~` and variables expanded, what is no local path refused.

Knows text only, and whether a path exists as it was written.
"""

import os
import re
from pathlib import Path

VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_REMOTE = re.compile(r"(?:[A-Za-z][\w+.-]+:/|[\w.-]+@[\w.-]+:)", re.ASCII)
_FILE = re.compile(r"file:/+", re.IGNORECASE)


def check_local(text: str) -> None:
    """ValueError where this is a URL or a place on another machine; also `s3:/bucket`, which pathlib makes of a URL."""
    if not _REMOTE.match(text):
        return
    if _FILE.match(text):
        raise ValueError(f"{text!r} is a URL; give the path itself: {_FILE.sub('/', text, count=1)}")
    raise ValueError(
        f"{text!r} is a URL or a place on another machine, and only local paths are supported; mount it or copy it "
        f"here (a local folder of that name is ./{text})"
    )


def expand(text: str) -> str:
    """The path with a leading `~` or `~user` and all `$NAME` and `${NAME}` replaced.

    A folder that has such a name in truth is taken as it is written. ValueError where that is in doubt because both
    paths exist, where a variable or user is not known, where the path is empty, and where it is not local.
    """
    if not text.strip():
        raise ValueError("the path is empty; the current folder is .")
    check_local(text)
    path = _home(_variables(text), text)
    check_local(path)
    return path


def _variables(text: str) -> str:
    """The text with its variables replaced, unless the file or folder with them in its name exists."""
    found = list(VARIABLE.finditer(text))
    if not found:
        return text
    end = text.find("/", found[-1].end())
    named = text if end < 0 else text[:end]  # up to the last component that has a variable: the rest may be new
    is_there = os.path.lexists(os.path.expanduser(named))
    unknown = [name for name in map(_name, found) if not os.environ.get(name)]
    if unknown and not is_there:
        raise ValueError(f"{text!r}: the variable {unknown[0]} is not set, and nothing of that very name exists")
    if unknown:
        return text
    replaced = VARIABLE.sub(lambda match: os.environ[_name(match)], named)
    if not is_there:
        return replaced + text[len(named) :]
    if os.path.lexists(os.path.expanduser(replaced)):
        raise ValueError(
            f"{text!r}: both {named!r} itself and {replaced!r} exist; give the one you mean "
            "by another path, or rename one of them"
        )
    return text


def _name(match: re.Match) -> str:
    return match[1] or match[2]


def _home(path: str, text: str) -> str:
    """The path with the home folder in the place of `~`; text: as it was given."""
    home = os.path.expanduser(path)
    if path.startswith("~") and home == path and not os.path.lexists(text):
        raise ValueError(f"{text!r}: there is no such user; a folder of that name is ./{text}")
    return home


def check_local_paths(values: dict[str, object]) -> None:
    """check_local of all values that are paths, or tuples of paths, by the name of the setting."""
    for name, value in values.items():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path):
                try:
                    check_local(str(path))
                except ValueError as error:
                    raise ValueError(f"--{name.replace('_', '-')}: {error}") from error
