"""Core ML packages: converted from modules, and read back as lists of operations. The only importer of coremltools.

Core ML itself runs on Apple's systems only; conversion works everywhere.
"""

import contextlib
import io
import json
import tempfile
import zipfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.pipeline.runtimes.batches_of_one import MAX_FRAMES
from embedonce.pipeline.runtimes.mil_programs import Operation, Program
from embedonce.pipeline.runtimes.silence import silenced

METADATA_KEY = "embedonce"
MODEL = Path("Data", "com.apple.CoreML", "model.mlmodel")
WEIGHTS = MODEL.with_name("weights")


@dataclass(frozen=True)
class Package:
    """What a package is made from. example: a batch of 1 by input name. outputs: their names.

    image: the input that is an RGB image of 8 bits, whose pixels reach the module as 0 to 255; the others are arrays.
    descriptions: text by name of input or output. metadata: kept as JSON under METADATA_KEY.
    """

    example: dict[str, Tensor]
    outputs: list[str]
    descriptions: dict[str, str]
    metadata: dict[str, Any]
    image: str | None = None


def to_package(module: nn.Module, package: Package, has_length: bool = False) -> bytes:
    """Convert a module in eval mode to an ML program in float16 for iOS 15 and macOS 12: a zipped .mlpackage.

    has_length: axis 1 of all inputs is the number of frames, up to MAX_FRAMES. Inputs and outputs are float32.
    """
    dynamic = {1: torch.export.Dim("length", min=1, max=MAX_FRAMES)} if has_length else {}
    with _quiet():
        import coremltools

        exported = torch.export.export(
            module, tuple(package.example.values()), dynamic_shapes=tuple(dynamic for _ in package.example)
        )
        model = coremltools.convert(
            exported.run_decompositions({}),
            inputs=_image_inputs(package),
            outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in package.outputs],
            convert_to="mlprogram",
            minimum_deployment_target=coremltools.target.iOS15,
            compute_precision=coremltools.precision.FLOAT16,
            skip_model_load=True,
        )
        for name, text in package.descriptions.items():
            (model.output_description if name in package.outputs else model.input_description)[name] = text
        model.user_defined_metadata[METADATA_KEY] = json.dumps(package.metadata)
        with tempfile.TemporaryDirectory() as folder:
            model.save(str(Path(folder) / "model.mlpackage"))
            return _zipped(Path(folder) / "model.mlpackage")


def read_package(data: bytes) -> Program:
    """The main function of a zipped package, its weights included, as coremltools reads it.

    ValueError if the package describes other inputs or outputs than the function has.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        from coremltools.converters.mil.frontend.milproto.load import load
        from coremltools.models.utils import load_spec

        zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
        spec = load_spec(str(Path(folder) / MODEL))
        function = load(spec, spec.specificationVersion, str(Path(folder) / WEIGHTS)).functions["main"]
        described = [one.name for one in (*spec.description.input, *spec.description.output)]
        if described != [*function.inputs, *(one.name for one in function.outputs)]:
            raise ValueError(f"the package describes {described}, its program has other inputs or outputs")
        made = list(function.operations)
        constants = {one.outputs[0].name: one.outputs[0].val for one in made if one.op_type == "const"}
        operations = tuple(_operation(one) for one in made if one.op_type != "const")
        return Program(tuple(function.inputs), operations, constants, tuple(one.name for one in function.outputs))


def _image_inputs(package: Package) -> list | None:
    if package.image is None:
        return None  # arrays, as the exported program describes them
    import coremltools

    shape, layout = tuple(package.example[package.image].shape), coremltools.colorlayout.RGB
    return [coremltools.ImageType(name=package.image, shape=shape, color_layout=layout)]


def _operation(one: Any) -> Operation:
    from coremltools.converters.mil.mil import types

    inputs = {
        name: tuple(var.name for var in given) if isinstance(given, (tuple, list)) else given.name
        for name, given in one.inputs.items()
        if given is not None
    }
    halves = tuple(output.dtype == types.fp16 for output in one.outputs)
    return Operation(one.op_type, inputs, tuple(output.name for output in one.outputs), halves)


def _zipped(package: Path) -> bytes:
    """The files that a package's manifest lists, without what coremltools adds for debugging."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (package / "Manifest.json", *sorted((package / "Data").rglob("*"))):
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(package))), path.read_bytes())
    return packed.getvalue()


def _quiet() -> AbstractContextManager[None]:
    """Silence coremltools: the libraries that it does not know, the parts of it that exist on macOS only, its progress.

    Errors are still raised.
    """
    return silenced(("coremltools", "torch.utils._pytree"), contextlib.redirect_stderr)
