"""Files of users with teachers of their own (`--teacher-module`): FILE.py, which registers them, or FILE.py:NAME.

NAME is a function or class of the file that makes the teacher.
"""

import contextlib
import importlib.util
import os
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from embedonce.cache.errors import CacheError
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.machine_errors import is_out_of_memory
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.teachers.made_identity import FACTS
from embedonce.pipeline.teachers.made_teacher import made_teacher
from embedonce.pipeline.teachers.registry import register, registered
from embedonce.pipeline.teachers.teacher import Teacher, TeacherLoader, TeacherOptions

_WITH_NAME = re.compile(r"(.+\.py):([A-Za-z_][A-Za-z0-9_]*)")
_KNOWN = (CacheError, ModelError, PipelineError, OSError, MemoryError)  # say enough by themselves


class ModuleLoader(TeacherLoader):
    """Makes the teacher of FILE.py:NAME, which is known by the name that it was chosen with."""

    def __init__(self, module: ModuleType, make: Callable, option: Path):
        self._module, self._make, self._option = module, make, option

    def load(self, options: TeacherOptions) -> Teacher:
        return made_teacher(self._module, self._make, options, str(self._option))


def model_of_module(path: Path, model: str | None) -> str:
    """Run a file of teachers; the model to use: `model` if given, else the only teacher in it.

    ModelOptionError if the file fails, or has no such teacher.
    """
    match = _WITH_NAME.fullmatch(str(path))
    if match:
        return _with_name(path, Path(match[1]), match[2], model)
    before = registered()
    _run(path, path)
    names = [name for name, loader in registered().items() if before.get(name) is not loader]
    if not names:
        raise ModelOptionError(
            f"--teacher-module {path} registers no teacher: call "
            "embedonce.pipeline.teachers.registry.register(NAME, LOADER) in it, or name the function that makes one: "
            f"--teacher-module {path}:FUNCTION"
        )
    if model is None and len(names) == 1:
        return names[0]
    if model is None or model.partition(":")[0] not in names:
        given = "" if model is None else f", not {model!r}"
        raise ModelOptionError(
            f"--teacher-module {path} registers {', '.join(names)}{given}: choose one with --teacher-model NAME"
        )
    return model


def _with_name(option: Path, path: Path, name: str, model: str | None) -> str:
    module = _run(path, option)
    make = getattr(module, name, None)
    if not callable(make):
        raise ModelOptionError(f"--teacher-module {option}: {path} has no function or class {name!r}")
    stated = getattr(module, FACTS, {}).get("name") if isinstance(getattr(module, FACTS, {}), dict) else None
    chosen = model or stated or path.stem
    try:
        register(str(chosen).partition(":")[0], ModuleLoader(module, make, option))
    except ValueError as error:
        raise ModelOptionError(f"--teacher-module {option}: {error}; name it with --teacher-model NAME") from error
    return str(chosen)


def _run(path: Path, option: Path) -> ModuleType:
    """Run a file. ModelOptionError if it fails."""
    file = os.path.abspath(path)
    spec = importlib.util.spec_from_file_location(f"teacher_module_{path.stem}", file)
    if not path.is_file():
        raise ModelOptionError(f"--teacher-module {option}: there is no such file")
    if spec is None or spec.loader is None:
        raise ModelOptionError(f"--teacher-module {option} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (MemoryError, KeyboardInterrupt):
        raise  # a problem of the machine, not of the file; an interruption
    except BaseException as error:  # whatever the user's code raises, sys.exit() too
        problem = f"{error_text(error)}{_line_in(file, error)}"
        raise ModelOptionError(f"--teacher-module {option} cannot be imported: {problem}") from error
    return module


@contextlib.contextmanager
def module_errors(option: Path | None) -> Iterator[None]:
    """Turn what the user's own code raises, SystemExit too, into a ModelError with the line; other errors pass."""
    match = _WITH_NAME.fullmatch(str(option or ""))
    file = os.path.abspath(match[1] if match else option or "")  # before the user's code may change the working folder
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        line = _line_in(file, error) if option is not None else ""
        if not line or isinstance(error, _KNOWN) or is_out_of_memory(error):
            raise
        raise ModelError(f"--teacher-module {option} failed: {error_text(error)}{line}") from error


def error_text(error: BaseException) -> str:
    """The kind of the error, and what it says, if anything."""
    return " ".join(f"{type(error).__name__}{f': {error}' if str(error) else ''}".split())[:300]


def _line_in(file: str, error: BaseException) -> str:
    """Where in the file the error or its cause arose, as ` (line N)`; "" if it did not, or if the message says so."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not frames and error.__cause__ is not None:
        return _line_in(file, error.__cause__)
    return f" (line {frames[-1].lineno})" if frames else ""
