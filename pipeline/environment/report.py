"""All facts about an installation, as sections of lines. Nothing that is missing or broken ends it."""

from collections.abc import Callable
from pathlib import Path

from embedonce.pipeline.environment import devices, machine
from embedonce.pipeline.environment.packages import PROJECT, Package, packages, project_version

Sections = dict[str, list[str]]


def facts(folder: Path) -> Sections:
    """Lines by section: what a bug report needs. folder: whose free disk space is given."""
    found = packages()
    required = found.pop("", [])
    return {
        PROJECT: [f"{project_version()} in {Path(__file__).parents[2]}"],
        "system": _told(machine.system),
        "processor": _told(machine.processor),
        "memory": _told(machine.memory),
        "disk": _told(lambda: machine.disk(folder)),
        "environment": _told(machine.variables),
        "devices": _told(devices.devices),
        "build": _told(devices.build),
        "ffmpeg": _told(_ffmpeg),
        "decodes": _told(_decodes),
        "packages": [", ".join(map(str, required))],
        "extras": [f"{extra}: {_extra(extra, needed)}" for extra, needed in sorted(found.items())],
    }


def missing(required: list[Package] | None = None) -> list[str]:
    """The packages that are always needed, and are missing or of another version than needed."""
    return [str(one) for one in (packages().get("", []) if required is None else required) if not one.fits]


def _extra(name: str, needed: list[Package]) -> str:
    install = "" if all(one.fits for one in needed) else f"; pip install '{PROJECT}[{name}]'"
    return ", ".join(map(str, needed)) + install


def _ffmpeg() -> str:
    from embedonce.pipeline.video.codecs import ffmpeg_version

    return ffmpeg_version()


def _decodes() -> str:
    from embedonce.pipeline.video.codecs import decodable

    found = decodable()
    present, absent = ([name for name, is_there in found.items() if is_there is wanted] for wanted in (True, False))
    return ", ".join(present) + (f"; not {', '.join(absent)}" if absent else "")


def _told(fact: Callable[[], str | list[str]]) -> list[str]:
    """The lines of a fact, or why it cannot be told: the libraries that it comes from may be what is broken."""
    try:
        value = fact()
    except Exception as error:
        return [f"not known ({type(error).__name__}: {' '.join(str(error).split())[:300]})"]
    return value if isinstance(value, list) else [value]
