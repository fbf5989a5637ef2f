"""A student of an exported folder, run by ONNX Runtime. Imports no torch."""

from pathlib import Path
from typing import Any

import numpy as np

from embedonce.cache import strict_json
from embedonce.cache.limits import MAX_FPS, MAX_FRAMES_PER_CLIP, MAX_NAME, MIN_FPS, brief
from embedonce.cache.schema import INTERPOLATIONS
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.frames.preprocessing import CROPS, Preprocessing
from embedonce.pipeline.metrics.fitted_calibration import TEMPERATURES
from embedonce.pipeline.metrics.json_forms import Number, OrNull, Text, find_mismatch
from embedonce.pipeline.predict.model import Model, ModelFacts
from embedonce.pipeline.runtimes.requirements import Requirement, as_pipeline_error, require

RUNTIME = Requirement(("onnxruntime",), "pip install onnxruntime")
FRAME_MODELS = ("frames.fp32.onnx", "frames.fp16.onnx", "frames.int8.onnx")  # the first one that exists is run
CLIP_MODEL = "clip.onnx"
FORMATS = (1, 2)  # 2: has a temperature, by which logits are divided
KEY = "embedonce"  # of the facts in a model's metadata
_FORM = {
    "format": int,
    "classes": [Text(MAX_NAME)],
    "frames_per_clip": Number(1, MAX_FRAMES_PER_CLIP, int),
    "preprocessing": {
        "resolution": Number(1, 1024, int),
        "crop": Text(MAX_NAME),
        "interpolation": Text(MAX_NAME),
        "canonical_short_side": Number(1, 1 << 16, int),
        "frames_per_second": OrNull(Number(MIN_FPS, MAX_FPS)),
        "jpeg_quality": Number(1, 100, int),
        "clip_seconds": Number(0, 1e6),
        "crop_fraction": Number(0, 1),
        ...: object,
    },
    ...: object,
}
_TEMPERATURE = {"temperature": Number(*TEMPERATURES)}
_OPTIONAL = {"multi_label": bool, "checkpoint_sha256": OrNull(Text(64))}


class ExportedModel(Model):
    """Runs a frame encoder and a clip head: on the CPU, or on a GPU with ONNX Runtime's package for it."""

    def __init__(self, frames: Any, clip: Any, facts: ModelFacts):
        self.facts, self._frames, self._clip = facts, frames, clip

    def encode(self, frames: np.ndarray) -> np.ndarray:
        return self._frames(frames=np.ascontiguousarray(frames))["features"]

    def classify(self, features: np.ndarray, t_rel_sec: np.ndarray) -> np.ndarray:
        times = t_rel_sec.astype(np.float32)[None]
        return self._clip(features=features[None], t_rel_sec=times, mask=np.ones(times.shape, bool))["logits"][0]


def exported_model(folder: Path, device: str = "auto") -> ExportedModel:
    """The student in a folder that export-student made.

    InputError if it is incomplete, ONNX Runtime is missing, or cannot use the device. CheckpointError if its files are
    damaged, or of a version that this program does not read.
    """
    frames = next((folder / name for name in FRAME_MODELS if (folder / name).is_file()), None)
    if frames is None or not (folder / CLIP_MODEL).is_file():
        missing = "none of " + ", ".join(FRAME_MODELS) if frames is None else f"no {CLIP_MODEL}"
        raise InputError(f"{folder} is not a complete export of ONNX files: it has {missing}; run export-student again")
    require(RUNTIME, "--student FOLDER")
    from embedonce.pipeline.runtimes.onnx_runtime import Session, has_gpu_support

    if device == "mps" or (device == "cuda" and not has_gpu_support()):
        raise InputError(f"--device {device} is not available to ONNX Runtime here; use --device cpu")
    gpu = 0 if device != "cpu" and has_gpu_support() else None
    with as_pipeline_error(f"{folder} cannot be run by ONNX Runtime", "run export-student again"):
        frame_model, clip_model = Session(frames, gpu=gpu), Session(folder / CLIP_MODEL, gpu=gpu)
    if frame_model.metadata.get(KEY) != clip_model.metadata.get(KEY):
        raise CheckpointError(
            f"{folder} has files of two exports: {frames.name} and {CLIP_MODEL} differ in their facts"
        )
    return ExportedModel(frame_model, clip_model, read_facts(frames, frame_model.metadata))


def read_facts(path: Path, metadata: dict[str, str]) -> ModelFacts:
    """The facts in the metadata of an exported model. CheckpointError if they are missing or of another version."""
    try:
        values = strict_json.loads(metadata.get(KEY, "null").encode())
    except ValueError as error:
        raise CheckpointError(f"{path} was not exported by export-student: its metadata are not JSON") from error
    version = values.get("format") if isinstance(values, dict) else None
    if isinstance(values, dict) and version not in FORMATS:
        readable = " and ".join(map(str, FORMATS))
        raise CheckpointError(f"{path} has export format {brief(version)}; this program reads formats {readable}")
    given = values if isinstance(values, dict) else {}
    required = _FORM if version == 1 else _FORM | _TEMPERATURE
    problem = find_mismatch(values, required | {name: form for name, form in _OPTIONAL.items() if name in given})
    if problem:
        raise CheckpointError(f"{path} was not exported by export-student: its metadata {problem}")
    names = Preprocessing.__dataclass_fields__
    known = {name: value for name, value in values["preprocessing"].items() if name in names}
    preprocessing = Preprocessing(**({"input": "", "t_rel_sec": ""} | known))
    if preprocessing.crop not in CROPS.values() or preprocessing.interpolation not in INTERPOLATIONS:
        raise CheckpointError(f"{path} was not exported by export-student: its crop or interpolation is unknown")
    return ModelFacts(
        classes=tuple(values["classes"]),
        frames_per_clip=values["frames_per_clip"],
        preprocessing=preprocessing,
        multi_label=values.get("multi_label", False),
        checkpoint_sha256=values.get("checkpoint_sha256"),
        temperature=1.0 if version == 1 else values["temperature"],
    )
