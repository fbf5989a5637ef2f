"""Optional libraries: whether they are there, before any work is done, and what they raise. Imports none of them."""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

from embedonce.cache.errors import CacheError
from embedonce.models.errors import ModelError
from embedonce.pipeline.errors import InputError, PipelineError

ONNX = ("onnx", "onnxscript", "onnxruntime")
EXECUTORCH = ("executorch",)
EXTRAS = {ONNX: "export", EXECUTORCH: "mobile"}  # of this package, which installs them


def require(libraries: tuple[str, ...], what: str) -> None:
    """InputError where one of the libraries that something needs is not installed."""
    lacking = [library for library in libraries if find_spec(library) is None]
    if lacking:
        raise InputError(
            f"{what} needs {', '.join(lacking)}; install with: pip install 'embedonce[{EXTRAS[libraries]}]'"
        )


@contextlib.contextmanager
def explained(failure: str, advice: str) -> Iterator[None]:
    """What exporters and runtimes raise, as a PipelineError; they stumble over foreign backbones in every way there is.

    Errors of this project, and want of memory or of disk, stay what they are.
    """
    try:
        yield
    except (PipelineError, CacheError, ModelError, MemoryError, OSError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise PipelineError(f"{failure} ({type(error).__name__}: {said}); {advice}") from error
