"""embedonce: embed once, train many.

`open_cache(path)` opens a teacher cache for reading; `extract`, `train`, `evaluate`, `export` and `search` are the
commands as functions, and `Student` runs a trained student: see docs/api.md. Importing this loads neither torch nor
timm; once timm is imported, too, it knows `embedonce_tiny`, the backbone of `tiny` students.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, what is imported lazily below
    from embedonce.cache.errors import CacheError as CacheError
    from embedonce.models.errors import ModelError as ModelError
    from embedonce.pipeline.api.cache import Cache as Cache
    from embedonce.pipeline.api.evaluate import evaluate as evaluate
    from embedonce.pipeline.api.export import export as export
    from embedonce.pipeline.api.extract import extract as extract
    from embedonce.pipeline.api.open_cache import open_cache as open_cache
    from embedonce.pipeline.api.progress_events import ProgressEvent as ProgressEvent
    from embedonce.pipeline.api.search import search as search
    from embedonce.pipeline.api.train import train as train
    from embedonce.pipeline.errors import PipelineError as PipelineError
    from embedonce.pipeline.predict.student import Student as Student

_API = "embedonce.pipeline.api"
_EXPORTS = {
    "Cache": (f"{_API}.cache", "Cache"),
    "CacheError": ("embedonce.cache.errors", "CacheError"),
    "ModelError": ("embedonce.models.errors", "ModelError"),
    "PipelineError": ("embedonce.pipeline.errors", "PipelineError"),
    "ProgressEvent": (f"{_API}.progress_events", "ProgressEvent"),
    "Student": ("embedonce.pipeline.predict.student", "Student"),
    "evaluate": (f"{_API}.evaluate", "evaluate"),
    "export": (f"{_API}.export", "export"),
    "extract": (f"{_API}.extract", "extract"),
    "open_cache": (f"{_API}.open_cache", "open_cache"),
    "search": (f"{_API}.search", "search"),
    "train": (f"{_API}.train", "train"),
}
_REGISTRY = "embedonce.models.timm_registry"
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str):
    if name == "__version__":
        return version("embedonce")
    if name in _EXPORTS:
        module, attribute = _EXPORTS[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'embedonce' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


class _RegistersWithTimm:
    """A finder that imports the registry right after timm, if timm is ever imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "timm":
            return None
        sys.meta_path.remove(self)
        spec = find_spec("timm")
        if spec is not None:
            _import_after(spec.loader, _REGISTRY)
        return spec


def _import_after(loader, name: str) -> None:
    execute = loader.exec_module

    def execute_and_import(module):
        execute(module)
        import_module(name)

    loader.exec_module = execute_and_import


if "timm" in sys.modules:
    import_module(_REGISTRY)
else:
    sys.meta_path.insert(0, _RegistersWithTimm())
