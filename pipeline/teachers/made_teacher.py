"""Teachers that a function of the user's makes, which may lack all but embed()."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from embedonce.cache.limits import MAX_INPUT_SIZE
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.pipeline.teachers.output_checks import checked_probe
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions, identity_of

log = logging.getLogger(__name__)

FACTS = "FACTS"  # a dictionary in the file, or of the teacher
REQUIRED = "input_size"
OPTIONAL = ("name", "embed_dim", "mean", "std", "interpolation", "resize_mode")
WEIGHTS = "module"  # in identities
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class MadeTeacher:
    """What the function returned, with an identity. Implements Teacher."""

    def __init__(self, made: Any, identity: TeacherIdentity):
        self._made, self.identity = made, identity

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._made.embed(crops)

    def device_facts(self) -> dict[str, str]:
        return self._made.device_facts() if hasattr(self._made, "device_facts") else {}


class _WithText:
    """The methods of a TextTeacher."""

    _made: Any

    def class_text(self, prompts: list[list[str]]) -> Any:
        return self._made.class_text(prompts)

    def drop_text_tower(self) -> None:
        if hasattr(self._made, "drop_text_tower"):
            self._made.drop_text_tower()


class _Overlapping:
    """The method of an OverlappingTeacher."""

    _made: Any

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        return self._made.begin(crops)


def made_teacher(module: ModuleType, make: Callable, options: TeacherOptions, option: str) -> Teacher:
    """The teacher that a function makes, called with the options if it takes an argument; tried on a few images.

    option: for messages. ModelOptionError or ModelError if it is none.
    """
    made = _made(make, options, option)
    if not callable(getattr(made, "embed", None)):
        raise ModelOptionError(f"--teacher-module {option} made a {type(made).__name__}, which has no method embed()")
    parts = [part for part, method in ((_WithText, "class_text"), (_Overlapping, "begin")) if hasattr(made, method)]
    kind: Any = type("MadeTeacher", (*parts, MadeTeacher), {})
    teacher = kind(made, _identity(module, made, options, option))
    return checked_probe(teacher, options.model)


def _made(make: Callable, options: TeacherOptions, option: str) -> Any:
    """What the function returns, which gets the options if it needs an argument."""
    parameters = inspect.signature(make).parameters.values()
    needed = [one for one in parameters if one.default is one.empty and one.kind not in _REST]
    if len(needed) > 1 or any(one.kind is one.KEYWORD_ONLY for one in needed):
        names = ", ".join(one.name for one in needed)
        raise ModelOptionError(
            f"--teacher-module {option} needs the arguments {names}, but it is called with none, or with the options: "
            "give them default values"
        )
    return make(options) if needed else make()


def _identity(module: ModuleType, made: Any, options: TeacherOptions, option: str) -> TeacherIdentity:
    """The teacher's own identity under the chosen name, or one of its FACTS and its weights."""
    own = getattr(made, "identity", None)
    if isinstance(own, TeacherIdentity):
        return replace(own, name=options.model)
    facts = _facts(module, made, option)
    size = facts.get(REQUIRED, options.input_size)
    if type(size) is not int or not 1 <= size <= MAX_INPUT_SIZE:
        raise ModelOptionError(
            f"--teacher-module {option}: the teacher has no `identity`, and the file no {FACTS} with its {REQUIRED} in "
            f"pixels, up to {MAX_INPUT_SIZE}: write {FACTS} = {{'{REQUIRED}': 224}}"
        )
    dim = facts.get("embed_dim") or _width(made, size, options.model)
    stated = {name: facts[name] for name in ("mean", "std", "interpolation", "resize_mode") if name in facts}
    return identity_of(options.model, WEIGHTS, _weights(made, Path(str(module.__file__))), size, dim, **stated)


def _facts(module: ModuleType, made: Any, option: str) -> dict[str, Any]:
    """The facts of the teacher, or else of its file, with mean and std as tuples of numbers."""
    facts = getattr(made, FACTS, None) or getattr(module, FACTS, None) or {}
    if not isinstance(facts, dict):
        raise ModelOptionError(f"--teacher-module {option}: {FACTS} is a {type(facts).__name__}, not a dictionary")
    unknown = sorted(map(str, set(facts) - {REQUIRED, *OPTIONAL}))
    if unknown:
        raise ModelOptionError(
            f"--teacher-module {option}: {FACTS} has {unknown[0]!r}; known are {REQUIRED}, {', '.join(OPTIONAL)}"
        )
    try:
        return facts | {name: tuple(map(float, facts[name])) for name in ("mean", "std") if name in facts}
    except (TypeError, ValueError) as error:
        raise ModelOptionError(
            f"--teacher-module {option}: mean and std in {FACTS} must be three numbers each ({error})"
        ) from error


def _width(made: Any, size: int, name: str) -> int:
    """The number of values that the teacher returns for a gray image."""
    shape = np.shape(made.embed(np.full((1, size, size, 3), 128, np.uint8)))
    if len(shape) != 2:
        raise ModelError(f"the teacher {name} returned an array of shape {shape} for 1 image, not (1, D)")
    return shape[1]


def _weights(made: Any, path: Path) -> dict[str, np.ndarray]:
    """The tensors in the attributes of an object, by name; without any, the text of its file stands for them."""
    found: dict[str, np.ndarray] = {}
    for name, value in {"": made, **getattr(made, "__dict__", {})}.items():
        if callable(getattr(value, "state_dict", None)):
            found |= {
                f"{name}.{key}": _array(tensor) for key, tensor in value.state_dict().items() if _is_tensor(tensor)
            }
        elif isinstance(value, np.ndarray) or _is_tensor(value):
            found[name] = _array(value)
    if not found:
        log.info("%s keeps no tensors in its attributes: the SHA-256 of its text stands for that of its weights", path)
    return found or {"text": np.frombuffer(path.read_bytes(), np.uint8)}


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _array(value: Any) -> np.ndarray:
    """The values of an array or of a tensor of torch; of the types that numpy lacks, as float32."""
    if isinstance(value, np.ndarray):
        return value
    tensor = value.detach().cpu()
    return tensor.float().numpy() if str(tensor.dtype) == "torch.bfloat16" else tensor.numpy()
