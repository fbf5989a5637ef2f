"""Recognizing the files that commands write by their content: a command may replace only those.

All functions take bytes and return False in case of doubt.
"""

import io
import json
import zipfile
from collections.abc import Collection
from typing import Any

import yaml

from embedonce.cache.commit import sha256
from embedonce.pipeline.settings.base import Settings

_SEAL = "<!-- embedonce {} {} -->\n"


def sealed(page: bytes, kind: str) -> bytes:
    """An HTML page or a PNG with a line appended that holds the command that wrote it and the SHA-256 of the rest.

    Browsers and image readers ignore what follows the end of either format.
    """
    return page + _SEAL.format(kind, sha256(page)).encode()


def is_sealed(data: bytes, kind: str) -> bool:
    """Whether these bytes were made by sealed() for this kind and are unchanged."""
    length = len(_SEAL.format(kind, sha256(b"")))
    body = data[:-length]
    return bool(body) and data[-length:] == _SEAL.format(kind, sha256(body)).encode()


def is_settings(data: bytes, kind: type[Settings]) -> bool:
    """Whether this is YAML that settings of this class were saved as; comments or another layout: edited by hand."""
    try:
        text = data.decode()
        values = yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        return False
    are_settings = isinstance(values, dict) and bool(values) and set(values) <= kind.names()
    return are_settings and yaml.safe_dump(values, sort_keys=False) == text


def settings_in(data: bytes) -> dict[str, Any]:
    """The values that settings were saved with, by option name; none if this is nothing that settings are saved as."""
    try:
        values = yaml.safe_load(data.decode())
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def changed_options(data: bytes, settings: Settings, may_differ: Collection[str]) -> list[str]:
    """The options with other values than those that were saved, as `--option`. may_differ: names that do not count."""
    saved, now = settings_in(data), settings.as_dict()
    names = [name for name, value in now.items() if name not in may_differ and saved.get(name) != value]
    return ["--" + name.replace("_", "-") for name in names]


def is_table(data: bytes, columns: tuple[str, ...]) -> bool:
    """Whether this is a CSV table whose first columns are these."""
    head = data.split(b"\n", 1)[0].rstrip(b"\r")
    return head.split(b",")[: len(columns)] == [column.encode() for column in columns]


def is_object(data: bytes, keys: tuple[str, ...]) -> bool:
    """Whether this is a JSON object that has these keys."""
    document = _json(data)
    return isinstance(document, dict) and set(keys) <= set(document)


def is_list_of_objects(data: bytes, keys: tuple[str, ...]) -> bool:
    """Whether this is a JSON list of objects that all have these keys."""
    document = _json(data)
    return isinstance(document, list) and all(isinstance(row, dict) and set(keys) <= set(row) for row in document)


def is_arrays(data: bytes, names: set[str]) -> bool:
    """Whether this is an .npz file of exactly these arrays; their values are not read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return set(file.namelist()) == {f"{name}.npy" for name in names}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _json(data: bytes):
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
