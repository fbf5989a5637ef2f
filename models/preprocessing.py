"""How images are prepared for a teacher, as data: parsed, written, and chosen for weights that do not say it.

Imports neither torch nor open_clip, so that a wrong option is answered at once.
"""

import math
from dataclasses import dataclass

from embedonce.models.errors import ModelOptionError

INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "squash")
OPTION = "--teacher-preprocess"
EXAMPLE = "mean=0.5,0.5,0.5;std=0.5,0.5,0.5;interpolation=bicubic;resize=squash"
_FIELDS = {"mean": "mean", "std": "std", "interpolation": "interpolation", "resize": "resize_mode"}
_IGNORED = {"size", "mode", "fill_color"}  # the model says its size; the others have no effect on RGB without padding


@dataclass(frozen=True)
class Preprocessing:
    """mean, std: three numbers each, of RGB in 0 to 1; interpolation, resize_mode: as a cache's teacher identity."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def __str__(self) -> str:
        """In the form that parse() reads, exactly."""
        mean, std = (",".join(map(repr, values)) for values in (self.mean, self.std))
        return f"mean={mean};std={std};interpolation={self.interpolation};resize={self.resize_mode}"

    def as_config(self) -> dict:
        """In open_clip's keys."""
        return {name: getattr(self, name) for name in _FIELDS.values()}


def parse(text: str) -> Preprocessing | str:
    """The preprocessing that a text spells out, or the text itself where it is a tag's name. ModelOptionError."""
    if "=" not in text:
        return text
    fields = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in _FIELDS or _FIELDS[key] in fields:
            raise ModelOptionError(f"{OPTION} has {part!r}; it takes each of {', '.join(_FIELDS)} once: '{EXAMPLE}'")
        fields[_FIELDS[key]] = [v.strip() for v in value.split(",")] if key in ("mean", "std") else value
    missing = [key for key, name in _FIELDS.items() if name not in fields]
    if missing:
        raise ModelOptionError(f"{OPTION} {text!r} lacks {', '.join(missing)}; in full: '{EXAMPLE}'")
    return from_config(fields, OPTION, Preprocessing((0.0,) * 3, (1.0,) * 3))


def from_config(config: dict, where: str, default: Preprocessing) -> Preprocessing:
    """The preprocessing that open_clip's keys describe. ModelOptionError where it is none, or cannot be replayed.

    where: what says so, in words. default: what open_clip fills in for keys that are missing or null.
    """
    if not isinstance(config, dict):
        raise ModelOptionError(f"{where} must be an object with {', '.join(_FIELDS.values())}, not {config!r:.60}")
    unknown = set(config) - set(_FIELDS.values()) - _IGNORED
    if unknown:
        raise ModelOptionError(f"{where} has {min(unknown)!r}; known keys: {', '.join(_FIELDS.values())}")
    if config.get("mode", "RGB") != "RGB":
        raise ModelOptionError(f"{where} has the mode {config['mode']!r}; only RGB can be replayed")
    given = default.as_config() | {k: v for k, v in config.items() if k not in _IGNORED and v is not None}
    if given["interpolation"] == "random":  # of training; open_clip evaluates these with bicubic
        given["interpolation"] = "bicubic"
    for key, known in (("interpolation", INTERPOLATIONS), ("resize_mode", RESIZE_MODES)):
        if given[key] not in known:
            raise ModelOptionError(f"{where} has {key} {given[key]!r}; only {' and '.join(known)} can be replayed")
    mean, std = (_three(given[key], f"{where}: {key}") for key in ("mean", "std"))
    if min(std) <= 0:
        raise ModelOptionError(f"{where}: std must be above 0, not {', '.join(map(str, std))}")
    return Preprocessing(mean, std, given["interpolation"], given["resize_mode"])


def choose(
    name: str,
    kind: str,
    tags: dict[str, Preprocessing],
    stated: Preprocessing | None,
    asked: Preprocessing | None,
    default: Preprocessing | None,
) -> Preprocessing:
    """The preprocessing of weights from a file, or of random ones. ModelOptionError where the user must say it.

    kind: "file" or "random". tags: what open_clip says of the model's tags. stated: what its configuration file says.
    asked: what the user says. default: what to use where nothing is known, or None to refuse.
    """
    if stated and asked and stated != asked:
        raise ModelOptionError(
            f"{OPTION} is {asked}, but the configuration of {name} says {stated}: leave one of them out"
        )
    found = stated or asked
    if found:
        return found
    kinds = set(tags.values())
    if len(kinds) == 1:
        return kinds.pop()
    if not tags and default:
        return default
    raise ModelOptionError(f"say how images are prepared for the {kind} weights of {name}: {_how(name, tags)}")


def _how(name: str, tags: dict[str, Preprocessing]) -> str:
    if not tags:
        return (
            f"{OPTION} MODEL:TAG (such as ViT-B-32:laion2b_s34b_b79k, for what open_clip does with that one), "
            f"{OPTION} '{EXAMPLE}' with your values, or \"preprocess_cfg\" in a configuration file"
        )
    groups: dict[Preprocessing, list[str]] = {}
    for tag, value in tags.items():
        groups.setdefault(value, []).append(tag)
    one_each = "; ".join(
        f"{OPTION} {found[0]} (as {', '.join(found[:3])}{', …' if len(found) > 3 else ''}: {value})"
        for value, found in groups.items()
    )
    return f"its published weights differ in that, {one_each}"


def _three(values, where: str) -> tuple[float, ...]:
    values = values if isinstance(values, (list, tuple)) else [values]
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    numbers = numbers * 3 if len(numbers) == 1 else numbers  # as open_clip reads one number
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ModelOptionError(f"{where} must be three numbers, one for each of R, G, B, not {values!r:.60}")
    return numbers
