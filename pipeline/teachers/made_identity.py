"""The identity of a teacher that a function of the user's made: stated by itself, or by FACTS and its tensors."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from embedonce.cache.limits import MAX_INPUT_SIZE, MAX_WINDOW, brief
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.pipeline.teachers.teacher import TeacherOptions, identity_of

log = logging.getLogger(__name__)

FACTS = "FACTS"  # a dictionary in the file, or of the teacher
REQUIRED = "input_size"
OPTIONAL = ("name", "embed_dim", "mean", "std", "interpolation", "resize_mode", "window", "window_stride")
EMBED, EMBED_WINDOWS = "embed", "embed_windows"  # methods of teachers of images and of windows
WEIGHTS = "module"  # in identities


def identity_of_made(module: ModuleType, made: Any, options: TeacherOptions, option: str) -> TeacherIdentity:
    """The own identity of what a function made, under the chosen name, or one of its FACTS and its weights.

    option: for messages. ModelOptionError or ModelError if there is something wrong.
    """
    own = getattr(made, "identity", None)
    if isinstance(own, TeacherIdentity):
        _check_method(made, own.window, option)
        return replace(own, name=options.model)
    facts = _facts(module, made, option)
    size = facts.get(REQUIRED, options.input_size)
    if type(size) is not int or not 1 <= size <= MAX_INPUT_SIZE:
        raise ModelOptionError(
            f"--teacher-module {option}: the teacher has no `identity`, and the file no {FACTS} with its {REQUIRED} in "
            f"pixels, up to {MAX_INPUT_SIZE}: write {FACTS} = {{'{REQUIRED}': 224}}"
        )
    stated: dict[str, Any] = {
        name: facts[name] for name in ("mean", "std", "interpolation", "resize_mode") if name in facts
    }
    stated |= _windows(facts, made, option)
    dim = facts.get("embed_dim") or _width(made, size, stated["window"], options.model)
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


def _width(made: Any, size: int, window: int, name: str) -> int:
    """The number of values that the teacher returns for a gray image, or a gray window."""
    shape = (size, size, 3) if window == 1 else (window, size, size, 3)
    found = np.shape(method_of(made, window)(np.full((1, *shape), 128, np.uint8)))
    if len(found) != 2:
        raise ModelError(f"the teacher {name} returned an array of shape {found} for 1 image, not (1, D)")
    return found[1]


def method_of(made: Any, window: int) -> Callable[[np.ndarray], np.ndarray]:
    """What embeds images, or windows of several frames."""
    return getattr(made, EMBED_WINDOWS if window > 1 else EMBED)


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
