"""Where the time of a student goes in ONNX Runtime, in float32 and in 8-bit integers, operation by operation.

    python -m benchmarks.operators
    python -m benchmarks.operators --sizes lcnet100 --resolution 128

One image to its embedding, one thread, random weights: the sum of the medians of all operations of a kind, from ONNX
Runtime's profiler. Then what a hard swish of quantized numbers costs in each of the ways in which its operations can
compute it: one tensor of 112 by 112 pixels and 24 channels, as behind the second block of lcnet075.
"""

import json
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.measuring import finish, interleaved, machine
from benchmarks.quantization import models_of, student_of
from embedonce.models.deploy import FrameEncoder

SIZES = "lcnet075,lcnet100,mnv3s100,mnv4s100"
SHAPE = (1, 112, 112, 24)
MICROSOFT = "com.microsoft"


def _options(folder: str | None = None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if folder is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
    return options


def microseconds_by_kind(model: bytes, image: np.ndarray, rounds: int) -> dict[str, int]:
    """Kind of operation -> the sum of the medians of its nodes, largest first; `all` is that of all nodes."""
    with tempfile.TemporaryDirectory() as folder:
        session = onnxruntime.InferenceSession(model, _options(folder), providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(None, {"frames": image})
        events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            taken[event["args"]["op_name"], event["name"]].append(event["dur"])
    sums: dict[str, float] = defaultdict(float)
    for (kind, _), durations in taken.items():
        sums[kind] += float(np.median(durations))
    ordered = sorted(sums.items(), key=lambda one: -one[1])
    return {"all": round(sum(sums.values()))} | {kind: round(total) for kind, total in ordered}


def hard_swish_forms() -> dict[str, list[onnx.NodeProto]]:
    """Ways from quantized x to quantized y, both of one scale: the hard swish, but for the lookups.

    x + 3 saturates at 0 and 6, which is the gate; x times the gate is six times the hard swish. Lookups show what a
    table of 256 entries costs: ONNX Runtime has them for other functions, or takes their indices as 32-bit integers.
    """

    def node(kind: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
        domain = MICROSOFT if kind.startswith("QLinear") else ""
        return helper.make_node(kind, inputs.split(), [output], domain=domain, **attributes)

    return {
        "floats: dequantized, HardSigmoid, Mul, quantized": [
            node("DequantizeLinear", "x scale zero", "floats"),
            node("HardSigmoid", "floats", "gates", alpha=1 / 6),
            node("Mul", "floats gates", "products"),
            node("QuantizeLinear", "products scale zero", "y"),
        ],
        "QLinearAdd and QLinearMul": [
            node("QLinearAdd", "x scale zero three scale zero gate_scale low", "gate"),
            node("QLinearMul", "x scale zero gate gate_scale low six_scale zero", "y"),
        ],
        "Clip of integers and QLinearMul": [
            node("Clip", "x low high", "gate"),
            node("QLinearMul", "x scale zero gate scale low six_scale zero", "y"),
        ],
        "lookup (QLinearSigmoid)": [node("QLinearSigmoid", "x scale zero scale zero", "y")],
        "lookup (Cast and Gather)": [
            node("Cast", "x", "numbers", to=TensorProto.INT32),
            node("Gather", "table numbers", "y"),
        ],
        "none: the tensor is copied": [node("Identity", "x", "y")],
    }


def hard_swish_times(rounds: int) -> dict[str, int]:
    """Form -> median microseconds of one hard swish, with one thread."""
    image = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    calls = {}
    for name, nodes in hard_swish_forms().items():
        session = session_of(nodes)
        calls[name] = partial(session.run, None, {"x": image})
    return {name: round(1e6 * taken) for name, taken in interleaved(calls, rounds, untimed=1).items()}


def session_of(nodes: list[onnx.NodeProto]) -> onnxruntime.InferenceSession:
    """Takes x (SHAPE) uint8, where 0 stands for -3 and a step for 0.05, and returns y, where 60 stands for 0."""
    integers = {"zero": 60, "three": 120, "low": 0, "high": 120}
    constants: dict[str, np.generic | np.ndarray] = {name: np.uint8(value) for name, value in integers.items()}
    scales = {"scale": 0.05, "gate_scale": 6 / 255, "six_scale": 0.3}
    constants |= {name: np.float32(value) for name, value in scales.items()}
    constants["table"] = np.arange(256, dtype=np.uint8)
    read = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in read]
    x, y = (helper.make_tensor_value_info(name, TensorProto.UINT8, SHAPE) for name in "xy")
    graph = helper.make_graph(nodes, "hard_swish", [x], [y], stored)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])


@click.command()
@click.option("--sizes", default=SIZES, show_default=True)
@click.option("--resolution", type=int, default=224, show_default=True)
@click.option("--rounds", type=int, default=101, show_default=True)
def main(sizes: str, resolution: int, rounds: int):
    """Print the sums of each file, and end with one line of JSON."""
    image = np.random.default_rng(1).integers(0, 256, (1, 3, resolution, resolution), np.uint8)
    kinds: dict[str, dict] = {}
    for size in sizes.split(","):
        models = models_of(FrameEncoder(student_of(size, resolution)).eval(), resolution)
        kinds[size] = {form: microseconds_by_kind(model, image, rounds) for form, model in models.items()}
        for form, sums in kinds[size].items():
            told = ", ".join(f"{kind} {total}" for kind, total in list(sums.items())[:9])
            click.echo(f"{size}, {form}, microseconds: {told}")
    forms = hard_swish_times(rounds)
    click.echo("\n".join(f"hard swish, {name}: {taken} microseconds" for name, taken in forms.items()))
    figures = {"resolution": resolution, "kinds": kinds, "hard_swish": forms}
    finish("operators", figures | machine("torch", "onnxruntime", "timm"))


if __name__ == "__main__":
    main()
