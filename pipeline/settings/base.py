"""The base class of all settings: frozen, validated dataclasses, and the YAML form that is saved with every output."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.settings.options import Option, declared_options, plugin_fields
from embedonce.pipeline.settings.paths import check_local_paths, without_secrets


@dataclasses.dataclass(frozen=True)
class Settings:
    """Values of the options that the fields declare with `setting(...)`.

    ValueError, with the option and the value, for URLs in place of local paths, values that are not among the choices
    of their option, and numbers outside its range.
    """

    def __post_init__(self):
        for name, options in plugin_fields(type(self)).items():
            defaults = {option.name: option.default for option in options}
            _refuse_unknown(getattr(self, name), defaults)
            object.__setattr__(self, name, defaults | getattr(self, name))
        values = self._values()
        check_local_paths(values)
        self.check_values(values)

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """All options of these settings, those of registered plug-ins included."""
        return declared_options(cls)

    @classmethod
    def check_values(cls, values: Mapping[str, Any]) -> None:
        """ValueError for the first of these options, by name, whose value cannot be used."""
        for option in cls.options():
            expected = option.violation(values[option.name]) if option.name in values else None
            if expected is not None:
                raise ValueError(f"{option.flag} must be {expected}, got {values[option.name]!r}")

    @classmethod
    def names(cls) -> set[str]:
        """The names in the YAML form: of all fields, with the settings of plug-ins under their own names."""
        plugins = plugin_fields(cls)
        fields = {field.name for field in dataclasses.fields(cls)} - set(plugins)
        return fields | {option.name for options in plugins.values() for option in options}

    @classmethod
    def from_options(cls, values: dict[str, Any]) -> Self:
        """The settings made of option names and values, those of plug-ins among them."""
        values = dict(values)
        for field, options in plugin_fields(cls).items():
            names = [option.name for option in options if option.name in values]
            values[field] = {name: values.pop(name) for name in names}
        return cls(**values)

    def _values(self) -> dict[str, Any]:
        """Name to value of all fields; the settings of plug-ins under their own names."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in plugin_fields(type(self)):
            values |= values.pop(name)
        return values

    def as_dict(self) -> dict[str, Any]:
        """Option names to JSON values; paths as text, and URLs without secrets."""
        return {name: _plain(value) for name, value in self._values().items()}

    def as_yaml(self) -> str:
        """The settings as a file that --config accepts. --overwrite is left out: it applies to a single run."""
        settings = {name: value for name, value in self.as_dict().items() if name != "overwrite"}
        return yaml.safe_dump(settings, sort_keys=False)

    def _require(self, ok: bool, field: str, expected: str) -> None:
        """ValueError, with the option and its value, unless ok. expected: what the value must be."""
        if not ok:
            option = "--" + field.replace("_", "-")
            raise ValueError(f"{option} must be {expected}, got {getattr(self, field)!r}")


def _refuse_unknown(values: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        names = ", ".join(known) or "none"
        raise ValueError(f"{unknown[0]!r} is not an option of a registered plug-in; there are: {names}")


def _plain(value: Any) -> Any:
    """A setting as a JSON value; paths as text, and URLs without secrets."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, str) and is_url(value):
        return without_secrets(value)
    return str(value) if isinstance(value, Path) else value
