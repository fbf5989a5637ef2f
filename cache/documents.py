"""JSON documents that end in a checksum of themselves, and strict conversion of their fields.

A document that lacks a field, has a value of a wrong type, or does not match its checksum is damaged.
"""

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator

import numpy as np

from embedonce.cache import strict_json
from embedonce.cache.commit import sha256, to_json
from embedonce.cache.errors import DamagedError, OtherVersionError
from embedonce.cache.limits import brief
from embedonce.cache.schema import FORMAT_VERSION, FORMAT_VERSION_2
from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES
from embedonce.cache.stores.stored_path import StoredPath

T = typing.TypeVar("T")
READABLE_VERSIONS = (FORMAT_VERSION, FORMAT_VERSION_2)
_INTEGER_ARRAYS = {
    "frame_index": np.int64,
    "pts": np.int64,
    "request_k": np.int64,
    "request_row": np.int64,
    "request_status": np.uint8,
    "views": np.int32,
}


# -- documents as bytes ------------------------------------------------------------------------------------------------


def serialize_with_checksum(document: dict) -> bytes:
    """A document, with the format version, as JSON whose last field is the SHA-256 of the JSON without that field.

    The version is FORMAT_VERSION unless the document has another one.
    """
    body = to_json({"format_version": FORMAT_VERSION, **document})
    return body[:-1] + _checksum_field(body)


def serialize_verified(document: dict, from_document: Callable[[dict, str], object], name: str) -> bytes:
    """serialize_with_checksum(document), after a check that the reader's own function accepts it.

    from_document: (document, name) -> anything; raises DamagedError if a reader would. ValueError if it does, because
    the document then has values that the format does not allow. name: of the file, for messages.
    """
    data = serialize_with_checksum(document)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{name} would have {len(data)} bytes; at most {MAX_DOCUMENT_BYTES} can be read back")
    try:
        from_document(parse(data, name), name)
    except DamagedError as error:
        raise ValueError(f"{name} would not be readable, and was not written: {error}") from error
    return data


def read(path: StoredPath, with_arrays: bool = False) -> dict:
    """The document in a file. DamagedError if it is missing or not as it was written, or has another version.

    with_arrays: as in parse().
    """
    return parse(path.get(), str(path), with_arrays)


def parse(data: bytes, name: str, with_arrays: bool = False) -> dict:
    """The document in bytes of serialize_with_checksum(). DamagedError, with this name, if they are anything else.

    with_arrays: long lists of integers may be (n,) int64 arrays, as integers() and packed() take them, which is faster.
    """
    try:
        document = strict_json.loads_with_arrays(data) if with_arrays else strict_json.loads(data)
    except ValueError as error:
        raise DamagedError(f"{name} is not valid JSON ({error})") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if type(version) is not int or version not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise OtherVersionError(
            f"{name} has format version {brief(version)}; this program reads versions {known}: use the version of "
            "embedonce that wrote it, or extract into another --cache-dir"
        )
    if not has_valid_checksum(data):
        raise DamagedError(f"{name} is damaged: its checksum does not match its content")
    del document["checksum"]
    return document


def has_valid_checksum(data: bytes) -> bool:
    """Whether the bytes end in the checksum of the document before it."""
    return data[-_CHECKSUM_BYTES:] == _checksum_field(data[:-_CHECKSUM_BYTES] + b"}")


def _checksum_field(body: bytes) -> bytes:
    return b',"checksum":"%s"}' % sha256(body).encode()


_CHECKSUM_BYTES = len(_checksum_field(b""))


# -- fields ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def as_damaged_error(name: str) -> Iterator[None]:
    """Turn the errors of converting a malformed document into a DamagedError with the document's name."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedError(f"{name} is damaged: {type(error).__name__} {str(error)[:300]}") from error


def validate_types(value: T) -> T:
    """Return a dataclass instance. TypeError if a field has another type than declared, or a number is too large."""
    for name, has_type in _field_checks(typing.cast(typing.Hashable, type(value))):
        if not has_type(getattr(value, name)):
            raise TypeError(f"{name} is {brief(getattr(value, name))}")
    return value


@functools.cache
def _field_checks(dataclass: typing.Any) -> tuple[tuple[str, Callable[[typing.Any], bool]], ...]:
    """(name, whether a value has the declared type) of a dataclass's fields."""
    return tuple((field.name, _check_of(field.type)) for field in dataclasses.fields(dataclass))


def _check_of(declared: typing.Any) -> Callable[[typing.Any], bool]:
    """A function that tells whether a value has the declared type: looked at once, because values are many."""
    places = tuple(map(_check_of, (kind for kind in typing.get_args(declared) if kind is not ...)))
    if isinstance(declared, types.UnionType):
        return lambda value: any(has_type(value) for has_type in places)
    if typing.get_args(declared)[-1:] == (...,):
        return lambda value: all(map(places[0], value))
    if places:
        return lambda value: len(places) == len(value) and all(map(_is, places, value))
    if declared in (int, float):
        return lambda value: type(value) in (int, declared) and -(2**63) <= value < 2**63
    return lambda value: type(value) is declared


def _is(has_type: Callable[[typing.Any], bool], value) -> bool:
    return has_type(value)


def parse_list(value) -> tuple:
    """The items of a JSON array. TypeError if it is something else."""
    if type(value) is not list:
        raise TypeError(f"{brief(value)} is not a list")
    return tuple(value)


def to_fields(value) -> dict:
    """The fields of a dataclass instance as JSON values; arrays become lists."""
    fields = dataclasses.asdict(value)
    return {name: field.tolist() if isinstance(field, np.ndarray) else field for name, field in fields.items()}


def parse_arrays(fields: dict) -> dict:
    """The same fields, with those that are arrays in the schema as arrays of their dtypes."""
    arrays = {n: integers(v, _INTEGER_ARRAYS[n]) for n, v in fields.items() if n in _INTEGER_ARRAYS}
    return {**fields, **arrays}


def integers(values: list | np.ndarray, dtype) -> np.ndarray:
    """Nested lists of integers, or an array, as an array of this dtype.

    TypeError or OverflowError if values are not integers of it.
    """
    parsed = np.asarray(values)
    if parsed.dtype == dtype:
        return parsed
    if parsed.size and parsed.dtype.kind != "i":
        raise TypeError(f"{brief(values)} has values that are not integers")
    array = parsed.astype(dtype)
    if (array != parsed).any():
        raise OverflowError(f"{brief(values)} has values that are not integers of type {np.dtype(dtype)}")
    return array
