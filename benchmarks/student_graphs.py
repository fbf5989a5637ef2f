"""The graphs that benchmarks.students times: each student's frame encoder and ViT-B/32's image tower, as ONNX files."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.latency import REFERENCE, teacher_tower
from benchmarks.quantization import models_of, student_of
from embedonce.models.deploy import FrameEncoder, deployed_parameters
from embedonce.pipeline.evaluation.costs import TimedModel, multiply_accumulates, size_of

PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Facts:
    """parameters: of the deployed student, its clip head included. macs: multiply-adds for one image.

    input_type: of the pixels that the graph takes; students scale integers themselves.
    """

    name: str
    pixels: int
    parameters: int
    macs: int
    input_name: str = "frames"
    input_type: str = "uint8"

    def image(self) -> dict[str, np.ndarray]:
        """One random image (1, 3, pixels, pixels) by the name of its input."""
        pixels = np.random.default_rng(1).integers(0, 256, (1, 3, self.pixels, self.pixels), np.uint8)
        return {self.input_name: pixels if self.input_type == "uint8" else (pixels / 255).astype(self.input_type)}


@dataclass(frozen=True)
class Graph:
    """An ONNX file in one of PRECISIONS, and what it computes."""

    facts: Facts
    precision: str
    model: bytes


def reference() -> Graph:
    """The image tower of ViT-B/32 in float32, random weights."""
    timed, model = teacher_tower()
    counted = size_of(timed.module)["parameters"], multiply_accumulates(timed)
    return Graph(Facts(REFERENCE, timed.image.shape[-1], *counted, "images", "float32"), "fp32", model)


def student_graphs(size: str, side: int, folder: Path | None) -> list[Graph]:
    """The frame encoder of a student in each of PRECISIONS, random weights.

    folder: where the files are kept and taken from if they are there; None: they are built.
    """
    kept = [] if folder is None else list(_read(folder, f"{size}_{side}"))
    if kept:
        return kept
    student = student_of(size, side)
    encoder = FrameEncoder(student).eval()
    image = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    facts = Facts(size, side, deployed_parameters(student), multiply_accumulates(TimedModel(encoder, image)))
    graphs = [Graph(facts, precision, model) for precision, model in models_of(encoder, side).items()]
    if folder is not None:
        _write(folder, f"{size}_{side}", graphs)
    return graphs


def _read(folder: Path, stem: str) -> Iterator[Graph]:
    described = folder / f"{stem}.json"
    if described.exists():
        facts = Facts(**json.loads(described.read_text()))
        for precision in PRECISIONS:
            yield Graph(facts, precision, (folder / f"{stem}_{precision}.onnx").read_bytes())


def _write(folder: Path, stem: str, graphs: list[Graph]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for graph in graphs:
        (folder / f"{stem}_{graph.precision}.onnx").write_bytes(graph.model)
    (folder / f"{stem}.json").write_text(json.dumps(asdict(graphs[0].facts)))
