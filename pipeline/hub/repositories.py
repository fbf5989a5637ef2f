"""Names of repositories on the Hugging Face Hub, and licenses: checked before anything is read or sent."""

import re

from embedonce.pipeline.errors import InputError

MANIFEST_NAME = "embedonce_cache.json"  # of a cache in a repository; written by the last commit of a push
CARD_NAME = "README.md"
COMMON_LICENSES = ("cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0", "apache-2.0", "mit", "other")
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


def check_repo(name: str) -> str:
    """The name. InputError if it cannot be that of a repository."""
    if not _REPO.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise InputError(
            f"{name!r} is not a repository: give USER/NAME, each of letters, digits, '-', '_' and '.', without '--' "
            "and '..'"
        )
    return name


def check_revision(name: str | None) -> str | None:
    """The name. InputError if it cannot be that of a branch, a tag or a commit."""
    if name is not None and (not _REVISION.fullmatch(name) or ".." in name or "//" in name):
        raise InputError(f"--revision {name!r} is not the name of a branch, a tag or a commit")
    return name


def check_license(name: str | None) -> str:
    """The identifier. InputError if there is none, or it cannot be one."""
    if name is None or not _LICENSE.fullmatch(name):
        given = "" if name is None else f", got {name!r}"
        raise InputError(
            f"--license must be the identifier of the license that you share this under, such as "
            f"{', '.join(COMMON_LICENSES)}{given}; nothing is uploaded without one"
        )
    return name
