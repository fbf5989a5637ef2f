"""How a setting is declared once: its default, help text, choices and range, as plain data.

From these declarations come the click options, the validation of settings, their YAML form and docs/options.md.
Imports neither click nor torch, so that plug-ins can declare options of their own.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from embedonce.pipeline.settings.ranges import Range

DATA, ANNOTATIONS, LABELS, TEACHER, CACHE = "Data", "Annotation", "Label", "Teacher", "Cache"
STUDENT, TRAINING, LOSS, OUTPUT, RUNTIME = "Student", "Training", "Loss", "Output", "Runtime"
GROUPS = (DATA, ANNOTATIONS, LABELS, TEACHER, CACHE, STUDENT, TRAINING, LOSS, OUTPUT, RUNTIME)  # in the order of help

_OPTION, _PLUGINS = "option", "plugin options"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting, as the command line, configuration files and the documentation present it.

    name: of the field, such as "cache_dir" for --cache-dir. value_type: bool, int, float, str or pathlib.Path.
    is_optional: whether None is a value, which means "not set".
    help: one sentence, without the default. group: one of GROUPS. choices: the accepted values, if they
    are few; a registry may gain more later.
    words: accepted in place of a number, such as "auto".
    aliases: further spellings, such as "--num-classes". default_text: what help shows in place of the default.
    must_exist: the path of a file that must exist. may_be_path: text that is either a local path or a name.
    may_be_url: a local path, or the URL of a folder elsewhere, which stays text.
    is_required: there is no default. is_hidden: not shown by --help. is_multiple: may be given several times.
    """

    default: Any = None
    help: str = ""
    group: str = RUNTIME
    choices: Collection[str] = ()
    words: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    range: Range | None = None
    default_text: str = ""
    metavar: str | None = None
    must_exist: bool = False
    may_be_path: bool = False
    may_be_url: bool = False
    is_required: bool = False
    is_hidden: bool = False
    is_multiple: bool = False
    name: str = ""
    value_type: type = str
    is_optional: bool = False

    def named(self, name: str, value_type: type = str, **changes: Any) -> "Option":
        """This option under a name, for a command without a settings class. changes: of further attributes."""
        return dataclasses.replace(self, name=name, value_type=value_type, **changes)

    def violation(self, value: object) -> str | None:
        """What the value must be if it cannot be used (`"one of a, b"`); None if it can."""
        if value is None and self.is_optional:
            return None
        if self.choices and value not in self.choices:
            return "one of " + ", ".join(self.choices)
        if value in self.words or self.range is None:
            return None
        expected = self.range.violation(value)
        return expected and " or ".join([expected, *self.words])

    @property
    def flag(self) -> str:
        """The main spelling on the command line."""
        return "--" + self.name.replace("_", "-")


def setting(default: Any = None, help: str = "", **declaration: Any) -> Any:
    """A field of a settings dataclass that is also an option; the field gives it its name and type.

    declaration: further attributes of Option. A field may also share an Option: `setting(shared.SEED)`.
    """
    option = default if isinstance(default, Option) else Option(default=default, help=help, **declaration)
    if option.is_required:
        return dataclasses.field(metadata={_OPTION: option})
    return dataclasses.field(default=option.default, metadata={_OPTION: option})


def plugin_settings(options: Callable[[], tuple[Option, ...]]) -> Any:
    """A field that holds the settings of plug-ins, name to value; options returns those that are registered now."""
    return dataclasses.field(default_factory=dict, metadata={_PLUGINS: options})


def declared_options(settings: type) -> tuple[Option, ...]:
    """The options of a settings dataclass, those of registered plug-ins included; inherited ones come last."""
    inherited = {name for base in settings.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())}
    options: list[Option] = []
    for field in sorted(dataclasses.fields(settings), key=lambda field: field.name in inherited):
        if _OPTION in field.metadata:
            options.append(_with_name_and_type(field.metadata[_OPTION], field))
        elif _PLUGINS in field.metadata:
            options += field.metadata[_PLUGINS]()
    return tuple(options)


def plugin_fields(settings: type) -> dict[str, tuple[Option, ...]]:
    """Name of each field made by plugin_settings -> the options whose values it holds."""
    fields = dataclasses.fields(settings)
    return {field.name: field.metadata[_PLUGINS]() for field in fields if _PLUGINS in field.metadata}


def _with_name_and_type(option: Option, field: dataclasses.Field) -> Option:
    members = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
    value_type: Any = next(member for member in members if member is not types.NoneType)
    return dataclasses.replace(option, name=field.name, value_type=value_type, is_optional=types.NoneType in members)
