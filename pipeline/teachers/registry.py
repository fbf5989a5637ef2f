"""The registered teachers by name."""

import re

from embedonce.pipeline.teachers.onnx_teacher import OnnxLoader
from embedonce.pipeline.teachers.open_clip import OpenClipLoader
from embedonce.pipeline.teachers.teacher import TeacherLoader
from embedonce.pipeline.teachers.timm_models import TimmLoader
from embedonce.pipeline.teachers.torchscript_teacher import TorchScriptLoader

DEFAULT = "open_clip"  # loads every model whose name is not registered
_LOADERS: dict[str, TeacherLoader] = {
    DEFAULT: OpenClipLoader(),
    "timm": TimmLoader(),
    "onnx": OnnxLoader(),
    "torchscript": TorchScriptLoader(),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def register(name: str, loader: TeacherLoader) -> None:
    """Let `--teacher-model NAME`, or `NAME:ANYTHING`, choose this loader. A name registered again is replaced.

    Raises ValueError for a name that looks like a configuration file or is the built-in one.
    """
    if not _NAME.fullmatch(name) or name.endswith(".json") or name == DEFAULT:
        raise ValueError(f"a teacher cannot be registered as {name!r}: use letters, digits, `_`, `-`, not {DEFAULT!r}")
    _LOADERS[name] = loader


def registered() -> dict[str, TeacherLoader]:
    """The loaders by name."""
    return dict(_LOADERS)


def loader_of(model: str) -> TeacherLoader:
    """The loader of a model: the one registered under its name up to the first colon, else that of open_clip."""
    return _LOADERS.get(model.partition(":")[0], _LOADERS[DEFAULT])
