"""Telling the files that commands write from all others, by their content. Pure: bytes in, yes or no out.

A command may replace what it recognizes; doubt means no.
"""

import dataclasses
import io
import json
import zipfile
from typing import Any

import yaml

from embedonce.cache.commit import sha256

_SEAL = "<!-- embedonce {} {} -->\n"


def sealed(page: bytes, kind: str) -> bytes:
    """An HTML page or a PNG with a last line that says which command wrote it, and the SHA-256 of what is above.

    Browsers and image readers take no notice of what follows the end of either.
    """
    return page + _SEAL.format(kind, sha256(page)).encode()


def is_sealed(data: bytes, kind: str) -> bool:
    """Whether these are the bytes of sealed(), unchanged."""
    length = len(_SEAL.format(kind, sha256(b"")))
    body = data[:-length]
    return bool(body) and data[-length:] == _SEAL.format(kind, sha256(body)).encode()


def is_settings(data: bytes, kind: type[Any]) -> bool:
    """Whether this is the YAML that settings of this kind are saved as: comments, or another layout, are a person's."""
    try:
        text = data.decode()
        values = yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        return False
    known = {field.name for field in dataclasses.fields(kind)} | {option.name for option in kind.options()}
    is_ours = isinstance(values, dict) and bool(values) and set(values) <= known
    return is_ours and yaml.safe_dump(values, sort_keys=False) == text


def is_table(data: bytes, columns: tuple[str, ...]) -> bool:
    """Whether this is a CSV table that begins with these columns."""
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
    """Whether this is an .npz file of just these arrays; none of them is read."""
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
