"""Click parameter types: local paths with `~` and variables expanded, paths or names, and finite numbers."""

import math
import os
import re
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.settings.paths import expand

_ONE_SLASH = re.compile(r"(?!(?i:file):)(\w[\w+.-]+):/(?!/)(.*)", re.DOTALL)  # which pathlib makes of a URL


class LocalPath(click.Path):
    """A local path, with `~` and variables expanded; URLs, pipes and devices are refused.

    Every option that takes a path has this type.
    """

    def convert(self, value, param, ctx):
        path = _expanded(self, value, param, ctx)
        _refuse_special_file(self, path, param, ctx)
        return super().convert(path, param, ctx)


class LocalPathOrName(click.ParamType):
    """Text that may be a local path. Paths are expanded and checked as LocalPath does; names stay as they are."""

    name = "text"

    def convert(self, value, param, ctx):
        text = _expanded(self, value, param, ctx)
        _refuse_special_file(self, text, param, ctx)
        return text

    def shell_complete(self, ctx, param, incomplete):
        return [CompletionItem(incomplete, type="file")]


class LocalPathOrUrl(LocalPath):
    """A local path as LocalPath takes it, or a URL such as s3://bucket/prefix, which stays text."""

    def convert(self, value, param, ctx):
        if isinstance(value, str) and is_url(value) and not value.lower().startswith("file:"):
            return value.rstrip("/")
        if isinstance(value, str) and (wrong := _ONE_SLASH.match(value)):
            url = f"{wrong[1]}://{wrong[2]}"
            self.fail(f"{value!r} has one slash; a URL is written {url}, and a local folder ./{value}", param, ctx)
        return super().convert(value, param, ctx)


class RegistryChoice(click.Choice):
    """One of the names in a collection, such as a registry that plug-ins add to after the command was defined."""

    def __init__(self, names: Collection[str]):
        self._names = names
        super().__init__(tuple(names))

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self._names)

    @choices.setter
    def choices(self, names: Collection[str]) -> None:
        """Ignored: the names are those in the collection."""


class NumberOrWord(click.ParamType):
    """A number, or one of a few words such as `auto`."""

    def __init__(self, number: click.ParamType, words: Sequence[str]):
        self._number, self._words = number, words
        self.name = " or ".join([number.name, *words])

    def convert(self, value, param, ctx):
        if value in self._words:
            return value
        try:
            return self._number.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)


class FiniteRange(click.FloatRange):
    """A number in a range; NaN, which click's comparisons let through, is refused."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


PATH = LocalPath(path_type=Path)
PATH_OR_URL = LocalPathOrUrl(path_type=Path)
EXISTING_FILE = LocalPath(path_type=Path, exists=True, dir_okay=False)
PATH_OR_NAME = LocalPathOrName()


def _refuse_special_file(param_type: click.ParamType, path: Any, param, ctx) -> None:
    """Fail for anything that exists and is neither a file nor a folder: reading a pipe or a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whether it must exist is checked elsewhere
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        param_type.fail(f"{str(path)!r} is a pipe, a socket or a device, not a file or a folder", param, ctx)


def _expanded(param_type: click.ParamType, value: Any, param, ctx) -> Any:
    """The value with `~` and variables expanded, or click's error."""
    try:
        return value if isinstance(value, Path) else expand(str(value))
    except ValueError as error:
        return param_type.fail(str(error), param, ctx)
