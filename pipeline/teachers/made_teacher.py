"""Teachers that a function of the user's makes, which may lack all but embed(), or embed_windows()."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.teachers.made_identity import identity_of_made, method_of
from embedonce.pipeline.teachers.output_checks import checked_probe
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class MadeTeacher:
    """What the function returned, with an identity. Implements Teacher."""

    def __init__(self, made: Any, identity: TeacherIdentity):
        self._made, self.identity = made, identity
        self._embed = method_of(made, identity.window)

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
    made = _made(make, options, option)
    identity = identity_of_made(module, made, options, option)
    parts = [part for part, method in ((_WithText, "class_text"), (_Overlapping, "begin")) if hasattr(made, method)]
    kind: Any = type("MadeTeacher", (*parts, MadeTeacher), {})
    teacher = kind(made, identity)
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
