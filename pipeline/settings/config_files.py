"""Reading YAML files of option defaults for --config: one level, strictly, each value of the type of its option."""

from pathlib import Path
from typing import Any

import yaml

from embedonce.cache.limits import brief
from embedonce.cache.strict_json import is_text
from embedonce.models.plain_files import NotPlainError, read_plain

MAX_BYTES = 1 << 16  # a command has some forty options
_WORDS = {
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "text": "text (write it in quotes)",
}


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which can expand to far more than is written, and without repeated keys."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not supported", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        names = [str(key.value).replace("-", "_") for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"it sets {name[:60]} twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_defaults(path: Path) -> dict:
    """Option names, with `_`, to their values in the YAML file. ValueError if the file cannot be used."""
    try:
        values = yaml.load(read_plain(path, MAX_BYTES).decode("utf-8-sig"), _Loader)
    except NotPlainError as error:
        raise ValueError(f"{path} is not a configuration file: it {error.strerror}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read as YAML (it is not UTF-8 text, from byte {error.start} on)") from error
    except RecursionError as error:
        raise ValueError(f"{path} cannot be read as YAML (its lists are nested too deeply)") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        problem = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} cannot be read as YAML ({problem})") from error
    if not isinstance(values, dict | None):
        raise ValueError(f"{path} must hold `option: value` lines, not a {type(values).__name__}")
    return {str(name).replace("-", "_"): value for name, value in (values or {}).items()}


def misfit(value: Any, type_name: str, is_many: bool) -> str | None:
    """What is wrong with a value for an option (`"1.5, not a whole number"`); None if it fits.

    type_name: of click's type. is_many: the option takes a list of values.
    """
    if is_many:
        if not isinstance(value, list):
            return f"{brief(value)}, not a list"
        return next(filter(None, (misfit(item, type_name, False) for item in value)), None)
    type_name, _, word = type_name.removesuffix(" range").partition(" or ")
    # YAML reads 1e-3 as text: text is converted, or refused, as it is on the command line
    allowed = {"integer": (int, str), "float": (int, float, str), "boolean": (bool,)}.get(type_name, (str,))
    if type(value) in allowed and (type(value) is not str or is_text(value)) and not _is_huge(value):
        return None
    expected = _WORDS.get(type_name, _WORDS["text"]) + (f" or {word}" if word else "")
    return f"{brief(value)}, not {expected}"


def _is_huge(value: Any) -> bool:
    return type(value) is int and value.bit_length() > 64
