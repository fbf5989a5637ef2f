"""The registry of export formats: their names, and where each one is implemented.

Imports no format until it is used, so that command-line options and settings need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedonce.pipeline.export.format import ExportFormat

# name, as in --formats -> "module:class" of an ExportFormat
FORMATS: dict[str, str] = {
    "fp32": "embedonce.pipeline.export.formats.onnx_fp32:OnnxFloat32",
    "fp16": "embedonce.pipeline.export.formats.onnx_fp16:OnnxFloat16",
    "int8": "embedonce.pipeline.export.formats.onnx_int8:OnnxInt8",
    "executorch": "embedonce.pipeline.export.formats.executorch:ExecuTorch",
    "coreml": "embedonce.pipeline.export.formats.coreml:CoreMl",
    "web": "embedonce.pipeline.export.formats.web:WebPage",
}


def format_names() -> tuple[str, ...]:
    """The names that --formats accepts."""
    return tuple(FORMATS)


def register_format(name: str, location: str) -> None:
    """Add a format. location: "package.module:Class" of an ExportFormat, imported when it is first used.

    ValueError for a name that is taken or that --formats could not express, or for a malformed location.
    """
    if name in FORMATS:
        raise ValueError(f"export format {name!r} is registered already; choose another name")
    if not name or "," in name or name != name.strip():
        raise ValueError(f"invalid export format name {name!r}: it must not be empty or hold commas or outer spaces")
    if ":" not in location:
        raise ValueError(f"invalid location {location!r} of export format {name!r}: give 'package.module:Class'")
    FORMATS[name] = location


def load_format(name: str) -> "ExportFormat":
    """The format of this name. KeyError for an unknown name; ImportError if its module cannot be imported."""
    module, _, attribute = FORMATS[name].partition(":")
    return getattr(import_module(module), attribute)()
