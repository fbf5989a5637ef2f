"""ONNX files as teachers, run by ONNX Runtime, without a text tower."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelOptionError, WeightsError
from embedonce.models.machine_errors import is_of_the_machine
from embedonce.models.preprocessing import Preprocessing
from embedonce.pipeline.runtimes.requirements import ONNX_FILES, require
from embedonce.pipeline.teachers.output_checks import checked_probe
from embedonce.pipeline.teachers.program_inputs import checked_file, preprocessing_of, size_of
from embedonce.pipeline.teachers.teacher import Teacher, TeacherLoader, TeacherOptions

if TYPE_CHECKING:
    from embedonce.pipeline.runtimes.onnx_runtime import Session
    from embedonce.pipeline.runtimes.onnx_weights import OnnxWeights

OPTION = "--teacher-onnx"
NAME = "onnx"
MAX_TEXT = 400  # characters of an error of the libraries
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxTeacher:
    """A graph from (B, 3, S, S) images to (B, D) embeddings. Implements Teacher.

    A graph for batches of one size gets such batches, the last one filled up.
    """

    def __init__(self, path: Path, session: "Session", device: str):
        self._path, self._session, self._device = path, session, device
        self._input, self.stated_size = _checked_input(path, session)
        self._output = _only_output(path, session)
        batch = self._input.shape[0]
        self._fixed_batch = batch if isinstance(batch, int) else None

    def identify(self, size: int, preprocessing: Preprocessing, weights: "OnnxWeights") -> None:
        """Set how images are made, and the identity, after a look at what the graph gives. size: pixels."""
        self._size = size
        self._mean, self._std = (np.array(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
        vectors = self._run(np.zeros((1, size, size, 3), np.uint8))
        if vectors.ndim != 2 or len(vectors) != 1:
            raise ModelOptionError(f"{self._path} gives {vectors.shape} for an image, not one row of embeddings")
        self.identity = TeacherIdentity(
            name=NAME,
            weights="file",
            weights_sha256=weights.sha256,
            activation="none",
            input_size=size,
            mean=preprocessing.mean,
            std=preprocessing.std,
            interpolation=preprocessing.interpolation,
            resize_mode=preprocessing.resize_mode,
            embed_dim=vectors.shape[1],
            parameters_image=weights.count,
            parameters_total=weights.count,
            bytes_image=weights.num_bytes,
            bytes_total=weights.num_bytes,
        )

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """As Teacher.embed()."""
        step = self._fixed_batch or len(crops)
        parts = [self._run(crops[start : start + step]) for start in range(0, len(crops), step)]
        vectors = np.concatenate([np.zeros((0, self.identity.embed_dim), np.float32), *parts])
        with np.errstate(invalid="ignore", divide="ignore"):  # vectors that are not finite are found by the caller
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def device_facts(self) -> dict[str, str]:
        return {"device": self._device, "precision": self._input.type.removeprefix("tensor(").removesuffix(")")}

    def _run(self, crops: np.ndarray) -> np.ndarray:
        """(B, D) float32 of at most a batch, as the graph gives them."""
        images = ((crops.astype(np.float32) / 255 - self._mean) / self._std).transpose(0, 3, 1, 2)
        missing = (self._fixed_batch or len(crops)) - len(crops)
        padded = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.float32)])
        inputs = {self._input.name: np.ascontiguousarray(padded, _TYPES[self._input.type])}
        try:
            outputs = self._session(**inputs)
        except Exception as error:  # ONNX Runtime has many kinds
            if isinstance(error, MemoryError) or "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            problem = _line(error)
            raise ModelOptionError(f"{self._path} does not embed images of {self._size} pixels: {problem}") from error
        return outputs[self._output][: len(crops)].astype(np.float32)


class OnnxLoader(TeacherLoader):
    """Loads the file of --teacher-onnx."""

    has_text_tower = False

    def load(self, options: TeacherOptions) -> Teacher:
        require(ONNX_FILES, OPTION)
        from embedonce.pipeline.runtimes.onnx_weights import onnx_weights

        path = checked_file(options, OPTION)
        try:
            weights = onnx_weights(path)
            session, device = _session(path, options.device)
        except Exception as error:  # onnx and ONNX Runtime have many kinds
            if isinstance(error, ModelOptionError) or is_of_the_machine(error):
                raise
            raise WeightsError(f"{path} cannot be loaded as an ONNX model: {_line(error)}") from error
        teacher = OnnxTeacher(path, session, device)
        size = size_of(options, teacher.stated_size, path)
        teacher.identify(size, preprocessing_of(options, path), weights)
        return checked_probe(teacher, str(path))

    def check_options(self, options: TeacherOptions) -> None:
        checked_file(options, OPTION)

    def names(self, options: TeacherOptions) -> tuple[str, str]:
        return NAME, "file"


def _session(path: Path, device: str) -> tuple["Session", str]:
    """The session, and the device that it computes on. ModelOptionError if a GPU is named that it cannot use."""
    from embedonce.pipeline.runtimes.onnx_runtime import Session, has_gpu_support

    threads = int(os.environ.get("OMP_NUM_THREADS") or 0) or None
    kind, _, number = device.partition(":")
    if kind == "cuda" and not has_gpu_support():
        raise ModelOptionError(f"{OPTION} on --device {device} needs a package: pip install onnxruntime-gpu")
    if kind in ("cuda", "auto") and has_gpu_support():
        return Session(path, threads, int(number or 0)), f"cuda:{number or 0}"
    return Session(path, threads), "cpu"


def _checked_input(path: Path, session: "Session"):
    """(the only input, its size in pixels or None). ModelOptionError unless it takes square RGB images of floats."""
    if len(session.inputs) != 1:
        names = ", ".join(one.name for one in session.inputs)
        raise ModelOptionError(f"{path} has {len(session.inputs)} inputs ({names}); a teacher has one, of images")
    one = session.inputs[0]
    if one.type not in _TYPES or len(one.shape) != 4:
        raise ModelOptionError(f"the input of {path} is {one.type} {one.shape}, not floats of the shape (B, 3, S, S)")
    channels, height, width = (side if isinstance(side, int) else None for side in one.shape[1:])
    if channels not in (3, None) or (height and width and height != width):
        raise ModelOptionError(f"the input of {path} is {one.shape}, not (B, 3, S, S): square RGB images")
    return one, height or width


def _only_output(path: Path, session: "Session") -> str:
    """The output of embeddings: the only one, or the only one with two dimensions."""
    flat = [name for name, rank in session.output_ranks.items() if rank == 2]
    candidates = session.outputs if len(session.outputs) == 1 else flat
    if len(candidates) != 1:
        raise ModelOptionError(
            f"{path} has the outputs {', '.join(session.outputs)}, {len(candidates)} of them of the shape (B, D): "
            "export it with one"
        )
    return candidates[0]


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= MAX_TEXT else f"… {text[-MAX_TEXT:]}"  # what went wrong comes last
