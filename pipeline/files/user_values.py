"""Reads text, JSON and YAML that users write; the keys of mappings are texts, and not repeated."""

import errno
import json
from pathlib import Path
from typing import Any, ClassVar

import yaml

from embedonce.cache import strict_json
from embedonce.models.plain_files import NotPlainError, read_plain
from embedonce.pipeline.errors import InputError

QUOTES_HINT = "put texts that contain braces or colons in quotes"


def user_text(path: Path, max_bytes: int, content: str, formats: str) -> str:
    """The text of a UTF-8 file. InputError if it cannot be read.

    content: what the file should hold, and formats: how, for messages.
    """
    try:
        return read_plain(path, max_bytes).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        problem = _problem(error, max_bytes)
        raise InputError(f"cannot read {content} from {path}: {problem}; give {formats}") from error


def json_value(text: str) -> Any:
    """The value of JSON. ValueError if it is not JSON, or repeats a key."""
    try:
        return strict_json.loads(text.encode("utf-8", "surrogatepass"), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON (line {error.lineno}: {error.msg})") from error


def yaml_value(text: str) -> Any:
    """The value of YAML, with the same types as JSON.

    Keys are texts exactly as written, so that `0017` and `on` stay what they are. ValueError if it is not YAML, repeats
    a key, or has values that JSON does not have.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"it is not valid YAML ({where}{error.problem}; {QUOTES_HINT})") from error
    except yaml.YAMLError as error:
        raise ValueError(f"it is not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None


def kind_of(value: Any) -> str:
    """What a value is, for messages: "a number", "a list"."""
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "empty"}
    return kinds.get(type(value), "a number")


def _problem(error: UnicodeDecodeError | OSError, max_bytes: int) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if error.errno == errno.EFBIG:
        return f"it is larger than {max_bytes >> 20} MB"
    return f"it {error.strerror}" if isinstance(error, NotPlainError) else str(error.strerror)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. ValueError if a key is repeated."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it contains the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return values


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Loads mappings with their keys as they are written, and the values that JSON has; dates are text."""

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"line {line}: a key is a list or a mapping, not text ({QUOTES_HINT})")
            if key.value in values:
                raise ValueError(f"line {line}: it contains the key {key.value!r} twice")
            values[key.value] = self.construct_object(value, deep=True)
        return values

    def sequence(self, node: yaml.SequenceNode) -> list[Any]:
        return [self.construct_object(value, deep=True) for value in node.value]

    def refuse(self, node: yaml.Node) -> Any:
        raise ValueError(f"line {node.start_mark.line + 1}: {node.tag} is not supported ({QUOTES_HINT})")

    yaml_constructors: ClassVar = {
        "tag:yaml.org,2002:null": yaml.SafeLoader.construct_yaml_null,
        "tag:yaml.org,2002:bool": yaml.SafeLoader.construct_yaml_bool,
        "tag:yaml.org,2002:int": yaml.SafeLoader.construct_yaml_int,
        "tag:yaml.org,2002:float": yaml.SafeLoader.construct_yaml_float,
        "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
        "tag:yaml.org,2002:timestamp": yaml.SafeLoader.construct_yaml_str,
        "tag:yaml.org,2002:map": mapping,
        "tag:yaml.org,2002:seq": sequence,
        None: refuse,
    }
