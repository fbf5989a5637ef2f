"""The formats a student can leave in: how each is made, run again, and judged. Knows modules, bytes and names."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.models.deploy import ClipHead, FrameEncoder
from embedonce.models.student import VideoStudent
from embedonce.pipeline.export.parity import EXACT, HALF, INT8, Limits
from embedonce.pipeline.runtimes.requirements import EXECUTORCH, ONNX, require

FRAME_OUTPUTS = ["features", "embeddings"]
Call = Callable[..., list[np.ndarray]]


@dataclass(frozen=True)
class ExportInputs:
    """A student cut for devices, facts that travel with it, and frames (N, 3, R, R) uint8 to find ranges on."""

    frames: nn.Module
    clip: nn.Module
    facts: dict
    calibration: np.ndarray

    @classmethod
    def of(cls, student: VideoStudent, facts: dict, calibration: np.ndarray) -> "ExportInputs":
        return cls(FrameEncoder(student).eval(), ClipHead(student).eval(), facts, calibration)

    @property
    def frame_example(self) -> Tensor:
        return torch.from_numpy(self.calibration[:1]).repeat(2, 1, 1, 1)  # a batch of 1 would be taken for the rule

    @property
    def clip_example(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of two clips of three frames."""
        with torch.inference_mode():
            features, _ = self.frames(self.frame_example[:1])
        return features.clone()[:, None].repeat(2, 3, 1), torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)

    @cached_property
    def frames_onnx(self) -> bytes:
        """In float32, without facts: what the other precisions are made from."""
        from embedonce.pipeline.runtimes.onnx_files import to_onnx

        return to_onnx(self.frames, {"frames": (self.frame_example, {0: "batch"})}, FRAME_OUTPUTS)

    @cached_property
    def clip_onnx(self) -> bytes:
        from embedonce.pipeline.runtimes.onnx_files import to_onnx, with_metadata

        features, times, mask = self.clip_example
        both = {0: "batch", 1: "length"}
        inputs = {"features": (features, both), "t_rel_sec": (times, both), "mask": (mask, both)}
        outputs = ["embedding", "logits"] if self.clip.head is not None else ["embedding"]
        return with_metadata(to_onnx(self.clip, inputs, outputs), self.facts)


@dataclass(frozen=True)
class Format:
    """make: Source -> bytes by file name. opened: those bytes -> (frame call, clip call): arrays in, arrays out."""

    limits: Limits
    make: Callable[[ExportInputs], dict[str, bytes]]
    opened: Callable[[dict[str, bytes]], tuple[Call, Call]]
    libraries: tuple[str, ...]


def _frames_onnx(source: ExportInputs, kind: str) -> bytes:
    from embedonce.pipeline.runtimes import onnx_files

    model = source.frames_onnx
    if kind == "fp16":
        model = onnx_files.in_half_precision(model)
    elif kind == "int8":
        batches = [{"frames": source.calibration[i : i + 16]} for i in range(0, len(source.calibration), 16)]
        model = onnx_files.in_8_bit_integers(model, batches)
    return onnx_files.with_metadata(model, source.facts)


def _onnx(kind: str, limits: Limits) -> Format:
    return Format(
        limits,
        lambda source: {f"frames.{kind}.onnx": _frames_onnx(source, kind), "clip.onnx": source.clip_onnx},
        _opened_onnx,
        ONNX,
    )


def _opened_onnx(files: dict[str, bytes]) -> tuple[Call, Call]:
    from embedonce.pipeline.runtimes.onnx_runtime import Session

    def call(session: Session, names: tuple[str, ...]) -> Call:
        return lambda *arrays: list(session(**dict(zip(names, arrays, strict=True))).values())

    frames, clip = (Session(data) for data in files.values())
    return call(frames, ("frames",)), call(clip, ("features", "t_rel_sec", "mask"))


def _make_executorch(source: ExportInputs) -> dict[str, bytes]:
    from embedonce.pipeline.export.executorch_files import to_executorch

    return {
        "frames.pte": to_executorch(source.frames, (source.frame_example[:1],)),
        "clip.pte": to_executorch(source.clip, tuple(t[:1] for t in source.clip_example), {1: "length"}),
    }


def _opened_executorch(files: dict[str, bytes]) -> tuple[Call, Call]:
    from embedonce.pipeline.export.executorch_files import opened

    return tuple(opened(data) for data in files.values())


FORMATS: dict[str, Format] = {
    "fp32": _onnx("fp32", EXACT),
    "fp16": _onnx("fp16", HALF),
    "int8": _onnx("int8", INT8),
    "executorch": Format(EXACT, _make_executorch, _opened_executorch, EXECUTORCH),
}


class Exported(nn.Module):
    """An exported student where a trained one is expected: the same inputs, the clip's embedding and logits out."""

    def __init__(self, frames: Call, clip: Call):
        super().__init__()
        self._frames, self._clip = frames, clip

    def forward(self, frames: Tensor, t_rel_sec: Tensor, mask: Tensor) -> "ExportedOutput":
        features, _ = self._frames(frames.flatten(0, 1).numpy())
        found = self._clip(features.reshape(*mask.shape, -1), t_rel_sec.numpy(), mask.numpy())
        embedding, logits = (torch.from_numpy(array) for array in (*found, np.zeros((len(mask), 0), np.float32))[:2])
        return ExportedOutput(embedding, logits)


@dataclass(frozen=True)
class ExportedOutput:
    """clip_embedding (B, D), clip_logits (B, C)."""

    clip_embedding: Tensor
    clip_logits: Tensor


def check_runtimes(formats: tuple[str, ...]) -> None:
    """InputError where what makes or runs a format is not installed."""
    for name in formats:
        require(FORMATS[name].libraries, f"--formats {name}")
