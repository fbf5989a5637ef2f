"""Command lines in messages: this program as it was started, and words quoted for a shell."""

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT, INSTALLED = "cli.py", "embedonce"
PYTHONS = ("python", "python3")


def program() -> str:
    """What starts this program from the current folder: as it was started, or `python cli.py` if Python code called it.

    A script is named with the Python that runs it: by its short name if the shell finds that, else by its path.
    """
    started = sys.argv[0] if sys.argv else ""
    name = os.path.basename(started)
    if name == INSTALLED:
        return INSTALLED if _is_found(INSTALLED, os.path.abspath(started)) else quoted(os.path.abspath(started))
    if name == SCRIPT and os.path.exists(started):
        short = next((python for python in PYTHONS if _is_found(python, sys.executable)), None)
        return f"{short or quoted(sys.executable)} {quoted(as_argument(started))}"
    return f"{PYTHONS[0]} {SCRIPT}"


def quoted(word: str) -> str:
    """A word for a shell; one with control characters as `$'...'`, which bash and zsh understand."""
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def as_argument(path: str) -> str:
    """A path that no command takes for an option, a home folder, a URL or a place on another machine; URLs stay."""
    is_ambiguous = path.startswith(("~", "-")) or (":" in path and "://" not in path)
    return f"./{path}" if is_ambiguous and not path.startswith(("/", "./", "../")) else path


def _is_found(name: str, path: str) -> bool:
    """Whether the shell finds, under this name, a program in the folder of the path. Links are not followed: the Python
    of a virtual environment is a link to one that lacks its packages."""
    found = shutil.which(name)
    if found is None:
        return False
    try:
        return Path(found).parent.samefile(Path(path).parent)
    except OSError:
        return False


def _escaped(char: str) -> str:
    if char.isprintable() and char not in "\\'":
        return char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
