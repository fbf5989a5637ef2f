"""Teachers that a function of the user's makes, which may lack all but embed(), or embed_windows()."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from embedonce.cache.limits import MAX_WINDOW, brief
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.teachers.output_checks import checked_probe
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions, identity_of

log = logging.getLogger(__name__)

FACTS = "FACTS"  # a dictionary in the file, or of the teacher
REQUIRED = "input_size"
OPTIONAL = ("name", "embed_dim", "mean", "std", "interpolation", "resize_mode", "window", "window_stride")
EMBED, EMBED_WINDOWS = "embed", "embed_windows"  # methods of teachers of images and of windows
WEIGHTS = "module"  # in identities


class MadeTeacher:
    """What the function returned, with an identity. Implements Teacher."""

    def __init__(self, made: Any, identity: TeacherIdentity):
        self._made, self.identity = made, identity
        self._embed = getattr(made, EMBED_WINDOWS if identity.window > 1 else EMBED)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._embed(crops)

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
    made = make(options) if _takes_options(make) else make()
    identity = _identity(module, made, options, option)
    parts = [part for part, method in ((_WithText, "class_text"), (_Overlapping, "begin")) if hasattr(made, method)]
    kind: Any = type("MadeTeacher", (*parts, MadeTeacher), {})
    teacher = kind(made, identity)
    return checked_probe(teacher, options.model)


def _takes_options(make: Callable) -> bool:
    parameters = inspect.signature(make).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.kind in positional and one.default is one.empty for one in parameters)


def _identity(module: ModuleType, made: Any, options: TeacherOptions, option: str) -> TeacherIdentity:
    """The teacher's own identity under the chosen name, or one of its FACTS and its weights."""
    own = getattr(made, "identity", None)
    if isinstance(own, TeacherIdentity):
        _check_method(made, own.window, option)
        return replace(own, name=options.model)
    facts = getattr(made, FACTS, None) or getattr(module, FACTS, None) or {}
    size = facts.get(REQUIRED, options.input_size)
    unknown = sorted(set(facts) - {REQUIRED, *OPTIONAL})
    if unknown:
        raise ModelOptionError(
            f"--teacher-module {option}: {FACTS} has {unknown[0]!r}; known are {REQUIRED}, {', '.join(OPTIONAL)}"
        )
    if type(size) is not int or size < 1:
        raise ModelOptionError(
            f"--teacher-module {option}: the teacher has no `identity`, and the file no {FACTS} with its {REQUIRED} in "
            f"pixels: write {FACTS} = {{'{REQUIRED}': 224}}"
        )
    stated = _windows(facts, made, option)
    dim = facts.get("embed_dim") or _embed_dim(made, size, stated["window"])
    stated |= {name: facts[name] for name in ("interpolation", "resize_mode") if name in facts}
    stated |= {name: tuple(map(float, facts[name])) for name in ("mean", "std") if name in facts}
    return identity_of(options.model, WEIGHTS, _weights(made, Path(str(module.__file__))), size, dim, **stated)


def _windows(facts: dict, made: Any, option: str) -> dict[str, Any]:
    """`window` and `window_stride` of a teacher: 1 for one of images; the stride is the window if it is not stated."""
    window = facts.get("window", 1)
    stride = facts.get("window_stride", window)
    for name, value in (("window", window), ("window_stride", stride)):
        if type(value) is not int or not 1 <= value <= MAX_WINDOW:
            raise ModelOptionError(
                f"--teacher-module {option}: {name!r} of {FACTS} is {brief(value)}, not a number of frames from 1 to "
                f"{MAX_WINDOW}"
            )
    _check_method(made, window, option)
    return {"window": window, "window_stride": stride if window > 1 else 1}


def _check_method(made: Any, window: int, option: str) -> None:
    """ModelOptionError if an object cannot embed windows of so many frames, or images."""
    needed, other = (EMBED_WINDOWS, EMBED) if window > 1 else (EMBED, EMBED_WINDOWS)
    if callable(getattr(made, needed, None)):
        return
    hint = ""
    if callable(getattr(made, other, None)):
        hint = f"; {other}() is for windows of 1 frame" if window > 1 else f"; {other}() needs 'window' in {FACTS}"
    raise ModelOptionError(
        f"--teacher-module {option} made a {type(made).__name__}, which has no method {needed}(){hint}"
    )


def _embed_dim(made: Any, size: int, window: int) -> int:
    if window > 1:
        return np.asarray(made.embed_windows(np.full((1, window, size, size, 3), 128, np.uint8))).shape[-1]
    return np.asarray(made.embed(np.full((1, size, size, 3), 128, np.uint8))).shape[-1]


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
