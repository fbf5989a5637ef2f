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

    ValueError where one of them is not known and nothing exists under the path as it was written, where the path is
    empty, and where it is not local.
    """
    if not text.strip():
        raise ValueError("the path is empty; the current folder is .")
    check_local(text)
    unknown = [name for pair in VARIABLE.findall(text) for name in pair if name and not os.environ.get(name)]
    path = VARIABLE.sub(lambda found: os.environ.get(found[1] or found[2], found[0]), text) if not unknown else text
    home = os.path.expanduser(path) if path.startswith("~") else path
    is_unknown_user = path.startswith("~") and home == path
    if (unknown or is_unknown_user) and not os.path.lexists(text):
        if unknown:
            raise ValueError(f"{text!r}: the variable {unknown[0]} is not set, and nothing of that very name exists")
        raise ValueError(f"{text!r}: there is no such user; a folder of that name is ./{text}")
    if unknown:
        return text
    check_local(home)
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
