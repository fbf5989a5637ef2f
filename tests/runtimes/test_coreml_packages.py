"""Core ML packages: what they say of themselves, and that the saved programs compute what PyTorch does."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.runtimes import mil_operations
from embedonce.pipeline.runtimes.batches_of_one import MAX_FRAMES, row_by_row
from embedonce.pipeline.runtimes.mil_programs import Operation, Program

pytestmark = pytest.mark.integration

pytest.importorskip("coremltools", reason="coremltools is an extra: pip install 'embedonce[coreml]'")
from embedonce.pipeline.runtimes.coreml_packages import MODEL, Package, read_package, to_package  # noqa: E402


def read_spec(packed: bytes):
    """Core ML's specification in a package."""
    from coremltools.proto import Model_pb2

    return Model_pb2.Model.FromString(zipfile.ZipFile(io.BytesIO(packed)).read(str(MODEL)))


class Layers(nn.Module):
    """Layers of many kinds, on images of values 0 to 255."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), nn.MaxPool2d(3, 2, 1))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.AvgPool2d(3, 2, 1))
        self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 12)
        self.first[1].running_var.uniform_(0.5, 2)

    def forward(self, frames):
        x = self.first(frames / 255)
        x = functional.interpolate(self.second(x), size=(5, 5), mode="bilinear")
        x = self.norm(x.flatten(2).transpose(1, 2))
        query, key, value = self.linear(x).chunk(3, -1)
        x = torch.softmax(query @ key.transpose(-2, -1), -1) @ value + functional.gelu(x[:, 2:3, 1:5])
        x = torch.cat((x.sin(), x.cos(), torch.tanh(x)), 1)
        return functional.normalize(x.mean(1), dim=-1), functional.hardsigmoid(x.sum(1))


FRAMES = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(1)).float()


@pytest.fixture(scope="module")
def layers() -> nn.Module:
    return Layers().eval()


@pytest.fixture(scope="module")
def packed(layers) -> bytes:
    texts = {"frames": "an image", "unit": "of length 1"}
    return to_package(layers, Package({"frames": FRAMES}, ["unit", "gates"], texts, {"classes": ["a"]}, "frames"))


@torch.inference_mode()
def test_the_saved_program_computes_what_pytorch_does(layers, packed):
    found = read_package(packed).runnable(("frames",))(FRAMES.numpy())
    for output, expected in zip(found, layers(FRAMES), strict=True):
        np.testing.assert_allclose(output, expected.numpy(), atol=5e-3)


def test_it_is_the_saved_weights_that_are_checked(layers, packed):
    original = zipfile.ZipFile(io.BytesIO(packed))
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name in original.namelist():
            data = bytearray(original.read(name))
            if name.endswith("weight.bin"):
                data[-64:] = bytes(64)
            archive.writestr(name, bytes(data))
    first, second = (read_package(data).runnable(("frames",))(FRAMES.numpy()) for data in (packed, changed.getvalue()))
    assert not all(np.allclose(one, other, atol=1e-3) for one, other in zip(first, second, strict=True))


def test_the_input_is_an_image_and_the_outputs_are_arrays_of_floats(packed):
    described = read_spec(packed).description
    (frames,) = described.input
    assert (frames.name, frames.shortDescription) == ("frames", "an image")
    image = frames.type.imageType
    assert (image.width, image.height, image.ColorSpace.Name(image.colorSpace)) == (32, 32, "RGB")
    arrays = {one.name: one.type.multiArrayType for one in described.output}
    assert {name: list(array.shape) for name, array in arrays.items()} == {"unit": [1, 4], "gates": [1, 4]}
    assert {array.ArrayDataType.Name(array.dataType) for array in arrays.values()} == {"FLOAT32"}
    assert json.loads(described.metadata.userDefined["embedonce"]) == {"classes": ["a"]}


def test_pixels_reach_the_program_unscaled(packed):
    program = read_package(packed)
    (first,) = [one for one in program.operations if "frames" in one.inputs.values()]
    assert first.kind in ("cast", "mul", "real_div")  # the division by 255 is in the program, not in the input's type


def test_the_package_has_the_files_of_its_manifest_only(packed):
    names = set(zipfile.ZipFile(io.BytesIO(packed)).namelist())
    folder = "Data/com.apple.CoreML"
    assert names == {"Manifest.json", f"{folder}/model.mlmodel", f"{folder}/weights/weight.bin"}


def test_the_number_of_frames_may_vary():
    class Mean(nn.Module):
        def forward(self, features, mask):
            return ((features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True),)

    example = {"features": torch.ones(1, 3, 4), "mask": torch.ones(1, 3, dtype=torch.bool)}
    packed = to_package(Mean().eval(), Package(example, ["mean"], {}, {}), has_length=True)
    features, _ = read_spec(packed).description.input
    assert [(size.lowerBound, size.upperBound) for size in features.type.multiArrayType.shapeRange.sizeRanges] == [
        (1, 1),
        (1, MAX_FRAMES),
        (4, 4),
    ]
    run = row_by_row(read_package(packed).runnable(("features", "mask")))
    (means,) = run(np.arange(40, dtype=np.float32).reshape(2, 5, 4), np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1]]) > 0)
    np.testing.assert_allclose(means, [[2, 3, 4, 5], [36, 37, 38, 39]])


def test_a_description_of_other_outputs_is_an_error(packed):
    spec, changed = read_spec(packed), io.BytesIO()
    spec.description.output[0].name = "other"
    with zipfile.ZipFile(io.BytesIO(packed)) as original, zipfile.ZipFile(changed, "w") as archive:
        for name in original.namelist():
            archive.writestr(name, spec.SerializeToString() if name == str(MODEL) else original.read(name))
    with pytest.raises(ValueError, match=r"describes \['frames', 'other', 'gates'\]"):
        read_package(changed.getvalue())


def test_nothing_is_written_to_the_console(layers, capfd):
    sys.stderr.flush()
    to_package(layers, Package({"frames": FRAMES}, ["unit", "gates"], {}, {}, "frames"))
    assert capfd.readouterr() == ("", "")


# -- evaluating operations -------------------------------------------------------------------------------------------


def program(kind: str, **changes) -> Program:
    inputs = {"x": "frames", "y": "two"}
    operation = Operation(kind, inputs, ("sum",), (True,))
    return Program(
        **({"inputs": ("frames",), "operations": (operation,), "constants": {"two": 2.0}} | changes), outputs=("sum",)
    )


def test_results_are_rounded_to_float16_where_the_program_says_so():
    assert program("add").runnable(("frames",))(np.full(1, 4097, np.float32))[0] == 4100
    assert np.isinf(program("mul").runnable(("frames",))(np.full(1, 4e4, np.float32))[0])  # beyond float16


def test_a_program_with_an_unknown_operation_is_refused():
    with pytest.raises(PipelineError, match=r"cannot check \(scatter_nd\), and nothing was written; leave coreml out"):
        program("scatter_nd").runnable(("frames",))


def test_a_program_with_other_inputs_is_refused():
    with pytest.raises(PipelineError, match=r"has the inputs \('frames',\) instead of \('images',\)"):
        program("add").runnable(("images",))


def test_operations_of_hand_worked_cases():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    found = mil_operations.slice_by_index(
        x,
        [0, 0, 1, 0],
        [1, 1, 2, 2],
        None,
        [True] * 3 + [False],
        [True, True, False, False],
        [True, True, False, False],
    )
    assert found.tolist() == [[0, 1], [3, 4]]
    assert mil_operations.OPERATIONS["thresholded_relu"](torch.tensor([-4.0, -3, 2]), -3).tolist() == [0, -3, 2]
    kernel = {"kernel_sizes": (3, 3), "strides": (1, 1), "pad_type": "custom", "pad": (1, 1, 1, 1)}
    ones = torch.ones(1, 1, 2, 2)
    assert mil_operations.avg_pool(ones, **kernel, exclude_padding_from_average=True).unique().tolist() == [1]
    assert mil_operations.avg_pool(ones, **kernel).max() < 0.5
    assert mil_operations.max_pool(-ones, **kernel).unique().tolist() == [-1]
    with pytest.raises(NotImplementedError, match="padding same"):
        mil_operations.conv(ones, torch.ones(1, 1, 3, 3), pad_type="same")
