"""The registered teachers by name, and files of users that register more (`--teacher-module`)."""

import importlib.util
import re
import traceback
from pathlib import Path

from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.teachers.open_clip import OpenClipLoader
from embedonce.pipeline.teachers.teacher import TeacherLoader

DEFAULT = "open_clip"  # loads every model whose name is not registered
_LOADERS: dict[str, TeacherLoader] = {
    DEFAULT: OpenClipLoader(),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def register(name: str, loader: TeacherLoader) -> None:
    """Let `--teacher-model NAME`, or `NAME:ANYTHING`, choose this loader. A name registered again is replaced.

    Raises ValueError for a name that looks like a configuration file or is the built-in one.
    """
    if not _NAME.fullmatch(name) or name.endswith(".json") or name == DEFAULT:
        raise ValueError(f"a teacher cannot be registered as {name!r}: use letters, digits, `_`, `-`, not {DEFAULT!r}")
    _LOADERS[name] = loader


def loader_of(model: str) -> TeacherLoader:
    """The loader of a model: the one registered under its name up to the first colon, else that of open_clip."""
    return _LOADERS.get(model.partition(":")[0], _LOADERS[DEFAULT])


def load_module(path: Path) -> list[str]:
    """Run a file that registers teachers; returns their names. ModelOptionError if it fails or registers none."""
    before = dict(_LOADERS)
    spec = importlib.util.spec_from_file_location(f"teacher_module_{path.stem}", path)
    if not path.is_file():
        raise ModelOptionError(f"--teacher-module {path}: there is no such file")
    if spec is None or spec.loader is None:
        raise ModelOptionError(f"--teacher-module {path} is not a Python file (.py)")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except MemoryError:
        raise  # a problem of the machine, not of the file
    except Exception as error:  # whatever the user's code raises
        problem = f"{type(error).__name__}: {error}{_line_in(spec.origin, error)}"
        raise ModelOptionError(f"--teacher-module {path} cannot be imported: {problem}") from error
    names = [name for name, loader in _LOADERS.items() if before.get(name) is not loader]
    if not names:
        raise ModelOptionError(
            f"--teacher-module {path} registers no teacher: call "
            "embedonce.pipeline.teachers.registry.register(NAME, LOADER) in it"
        )
    return names


def _line_in(path: str | None, error: Exception) -> str:
    """Where in the file the error arose, as ` (line N)`; "" if it did not, or if the message says so itself."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f" (line {frames[-1].lineno})" if frames else ""


def model_of_module(path: Path, model: str | None) -> str:
    """Run a file of teachers; the model to use: `model` if given, else the only teacher that the file registers."""
    names = load_module(path)
    if model is None and len(names) == 1:
        return names[0]
    if model is None or model.partition(":")[0] not in names:
        given = "" if model is None else f", not {model!r}"
        raise ModelOptionError(
            f"--teacher-module {path} registers {', '.join(names)}{given}: choose one with --teacher-model NAME"
        )
    return model
