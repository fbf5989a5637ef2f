"""Whether optional libraries are there, before any work is done. Knows names; imports none of them."""

from importlib.util import find_spec

from pipeline.errors import InputError

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
