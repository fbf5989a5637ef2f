"""A teacher's image preprocessing as data: parsed from options and configurations, and chosen for local weights.

Imports neither torch nor open_clip, so that a wrong option fails fast.
"""

import math
from dataclasses import dataclass

from embedonce.models.errors import ModelOptionError

INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "squash")
OPTION = "--teacher-preprocess"
EXAMPLE = "mean=0.5,0.5,0.5;std=0.5,0.5,0.5;interpolation=bicubic;resize=squash"
_FIELDS = {"mean": "mean", "std": "std", "interpolation": "interpolation", "resize": "resize_mode"}
_IGNORED = {"size", "mode", "fill_color"}  # the model has its size; the others do not affect RGB without padding


@dataclass(frozen=True)
class Preprocessing:
    """mean, std: per RGB channel, for values from 0 to 1; interpolation, resize_mode: as in TeacherIdentity."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def __str__(self) -> str:
        """Text that parse() reads back to the same values."""
        mean, std = (",".join(map(repr, values)) for values in (self.mean, self.std))
        return f"mean={mean};std={std};interpolation={self.interpolation};resize={self.resize_mode}"

    def as_config(self) -> dict:
        """As a dict with open_clip's keys."""
        return {name: getattr(self, name) for name in _FIELDS.values()}


CLIP = Preprocessing((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # of OpenAI's models


def parse(text: str) -> Preprocessing | str:
    """Parse `mean=…;std=…;interpolation=…;resize=…`; a text without `=` is returned as it is: the name of a tag.

    Raises ModelOptionError for missing, repeated or unknown fields and invalid values.
    """
    if "=" not in text:
        return text
    fields = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in _FIELDS or _FIELDS[key] in fields:
            raise ModelOptionError(f"{OPTION} has {part!r}; it needs each of {', '.join(_FIELDS)} once: '{EXAMPLE}'")
        fields[_FIELDS[key]] = [v.strip() for v in value.split(",")] if key in ("mean", "std") else value
    missing = [key for key, name in _FIELDS.items() if name not in fields]
    if missing:
        raise ModelOptionError(f"{OPTION} {text!r} lacks {', '.join(missing)}; in full: '{EXAMPLE}'")
    return from_config(fields, OPTION, Preprocessing((0.0,) * 3, (1.0,) * 3))


def from_config(config: dict, where: str, default: Preprocessing) -> Preprocessing:
    """The preprocessing of a dict with open_clip's keys.

    where: the source of the dict, for messages. default: the values of missing and null keys. Raises ModelOptionError
    for unknown keys and for values that crops cannot reproduce.
    """
    if not isinstance(config, dict):
        raise ModelOptionError(f"{where} must be an object with {', '.join(_FIELDS.values())}, not {config!r:.60}")
    unknown = set(config) - set(_FIELDS.values()) - _IGNORED
    if unknown:
        raise ModelOptionError(f"{where} has {min(unknown)!r}; known keys: {', '.join(_FIELDS.values())}")
    if config.get("mode", "RGB") != "RGB":
        raise ModelOptionError(f"{where} has the mode {config['mode']!r}; only RGB is supported")
    given = default.as_config() | {k: v for k, v in config.items() if k not in _IGNORED and v is not None}
    if given["interpolation"] == "random":  # used in training only; open_clip evaluates these models with bicubic
        given["interpolation"] = "bicubic"
    for key, known in (("interpolation", INTERPOLATIONS), ("resize_mode", RESIZE_MODES)):
        if given[key] not in known:
            raise ModelOptionError(f"{where} has {key} {given[key]!r}; only {' and '.join(known)} are supported")
    mean, std = (_three(given[key], f"{where}: {key}") for key in ("mean", "std"))
    if min(std) <= 0:
        raise ModelOptionError(f"{where}: std must be above 0, not {', '.join(map(str, std))}")
    return Preprocessing(mean, std, given["interpolation"], given["resize_mode"])


def choose(
    name: str,
    kind: str,
    tags: dict[str, Preprocessing],
    configured: Preprocessing | None,
    option: Preprocessing | None,
    default: Preprocessing | None,
) -> Preprocessing:
    """The preprocessing of local or random weights. Raises ModelOptionError if it is ambiguous or contradictory.

    Args:
        name: the model.
        kind: "file" or "random" weights, for messages.
        tags: preprocessing of each published tag of the model.
        configured: of the model's configuration file, if any.
        option: given by the user, if any.
        default: used if nothing is known; None to raise instead.
    """
    if configured and option and configured != option:
        raise ModelOptionError(
            f"{OPTION} is {option}, but the configuration of {name} has {configured}: leave one of them out"
        )
    given = configured or option
    if given:
        return given
    distinct = set(tags.values())
    if len(distinct) == 1:
        return distinct.pop()
    if not tags and default:
        return default
    raise ModelOptionError(f"choose the preprocessing of the {kind} weights of {name}: {_alternatives(name, tags)}")


def _alternatives(name: str, tags: dict[str, Preprocessing]) -> str:
    """What the user can do if the preprocessing of a model is unknown or differs between its tags."""
    if not tags:
        return (
            f"use {OPTION} MODEL:TAG (such as ViT-B-32:laion2b_s34b_b79k, to preprocess as for that tag), "
            f"{OPTION} '{EXAMPLE}' with your values, or \"preprocess_cfg\" in a configuration file"
        )
    groups: dict[Preprocessing, list[str]] = {}
    for tag, value in tags.items():
        groups.setdefault(value, []).append(tag)
    choices = "; ".join(
        f"{OPTION} {names[0]} (as {', '.join(names[:3])}{', …' if len(names) > 3 else ''}: {value})"
        for value, names in groups.items()
    )
    return f"its published weights differ; use {choices}"


def _three(values, where: str) -> tuple[float, ...]:
    values = values if isinstance(values, (list, tuple)) else [values]
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    numbers = numbers * 3 if len(numbers) == 1 else numbers  # open_clip accepts one number for all channels
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ModelOptionError(f"{where} must be three numbers, one per RGB channel, not {values!r:.60}")
    return numbers
