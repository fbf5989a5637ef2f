"""Optional libraries: checks that they are installed, and turns their failures into one error. Imports none of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from embedonce.cache.errors import CacheError
from embedonce.models.errors import ModelError
from embedonce.pipeline.errors import InputError, PipelineError


@dataclass(frozen=True)
class Requirement:
    """Libraries, by import name, that must be installed together, and the command that installs them."""

    libraries: tuple[str, ...]
    install: str


ONNX = Requirement(("onnx", "onnxscript", "onnxruntime"), "pip install 'embedonce[export]'")
ONNX_FILES = Requirement(("onnx", "onnxruntime"), "pip install onnx onnxruntime")
ENERGON = Requirement(("megatron.energon",), "pip install 'embedonce[energon]'")
PARQUET = Requirement(("pyarrow",), "pip install 'embedonce[parquet]'")
LANCE = Requirement(("lance", "pyarrow"), "pip install 'embedonce[lance]'")
FAISS = Requirement(("faiss",), "pip install 'embedonce[index]'")
EXECUTORCH = Requirement(("executorch",), "pip install 'embedonce[mobile]'")
COREML = Requirement(("coremltools",), "pip install 'embedonce[coreml]'")


def require(requirement: Requirement, purpose: str) -> None:
    """InputError if a library is missing. purpose: what needs it, such as an option."""
    missing = [library for library in requirement.libraries if not _is_installed(library)]
    if missing:
        raise InputError(f"{purpose} needs {', '.join(missing)}; install with: {requirement.install}")


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # the package around it
        return False


@contextlib.contextmanager
def as_pipeline_error(failure: str, advice: str) -> Iterator[None]:
    """Turn whatever an exporter or runtime raises into a PipelineError: they fail on unusual backbones in many ways.

    Errors of this project, MemoryError and OSError pass unchanged.
    """
    try:
        yield
    except (PipelineError, CacheError, ModelError, MemoryError, OSError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:300]
        raise PipelineError(f"{failure} ({type(error).__name__}: {message}); {advice}") from error
