"""The installed versions of this project and of the packages that it needs or can use. Imports none of them."""

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement

PROJECT = "embedonce"
OF_DEVELOPERS = ("test", "bench")  # extras that users do not need


@dataclass(frozen=True)
class Package:
    """A package that is needed or can be used. version: None if it is not installed. wanted: such as ">=2.11"."""

    name: str
    version: str | None
    wanted: str

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that is wanted."""
        return self.version is not None and Requirement(self.name + self.wanted).specifier.contains(self.version, True)

    def __str__(self) -> str:
        if self.version is None:
            return f"{self.name} is missing"
        return f"{self.name} {self.version}" if self.fits else f"{self.name} {self.version} (needed: {self.wanted})"


def project_version() -> str:
    """The version of this project, or "unknown" if it runs without being installed."""
    return _version(PROJECT) or "unknown"


def packages(requirements: Iterable[str] | None = None) -> dict[str, list[Package]]:
    """The packages by the name of the extra that brings them; "" for those that are always needed.

    requirements: as package metadata states them, by default those of this project.
    """
    if requirements is None:
        requirements = _requirements()
    found: dict[str, list[Package]] = defaultdict(list)
    for line in requirements:
        one = Requirement(line)
        extra = _extra(one)
        if extra not in OF_DEVELOPERS:
            found[extra].append(Package(one.name, _version(one.name), str(one.specifier)))
    return dict(found)


def _extra(requirement: Requirement) -> str:
    """The extra that a requirement belongs to, from its marker, such as `extra == "ray"`; "" if it belongs to none."""
    found = re.search(r"extra\s*==\s*[\"']([^\"']+)", str(requirement.marker or ""))
    return found[1] if found else ""


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
