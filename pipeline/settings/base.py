"""What the settings of all commands share: frozen, validated data, and their YAML form beside every output.

Knows values and their limits; imports nothing that computes.
"""

import dataclasses
import math
from pathlib import Path

import yaml

from embedonce.pipeline.settings.paths import check_local_paths
from embedonce.pipeline.settings.ranges import outside


class Settings:
    """What all settings share: their form as plain values, and as YAML.

    ValueError for URLs in the place of local paths, and for numbers out of their range.
    """

    def __post_init__(self):
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        check_local_paths(values)
        for field, value in values.items():
            expected = outside(field, value)
            self._require(expected is None, field, expected)

    def as_dict(self) -> dict:
        """Field names to JSON values; paths as text."""
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: _plain(value) for name, value in fields}

    def as_yaml(self) -> str:
        """The settings as a file that --config accepts. It never says to overwrite: that is said once, for one run."""
        settings = {name: value for name, value in self.as_dict().items() if name != "overwrite"}
        return yaml.safe_dump(settings, sort_keys=False)

    def _require(self, ok: bool, field: str, expected: str) -> None:
        if not ok:
            option = "--" + field.replace("_", "-")
            raise ValueError(f"{option} must be {expected}, got {getattr(self, field)!r}")

    def _positive(self, *fields: str) -> None:
        for field in fields:
            self._require(is_finite(getattr(self, field)) and getattr(self, field) > 0, field, "greater than 0")

    def _not_negative(self, *fields: str) -> None:
        for field in fields:
            self._require(is_finite(getattr(self, field)) and getattr(self, field) >= 0, field, "0 or more")

    def _one_of(self, field: str, choices) -> None:
        self._require(getattr(self, field) in choices, field, "one of " + ", ".join(choices))


def _plain(value):
    """A setting as a JSON value; paths as text."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def is_finite(value) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
