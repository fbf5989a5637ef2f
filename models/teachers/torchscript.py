"""TorchScript files as teachers: programs from images to embeddings, without a text tower."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from embedonce.models.errors import ModelOptionError, WeightsError
from embedonce.models.machine_errors import is_of_the_machine
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.image_encoder import ImageEncoder
from embedonce.models.teachers.tensors import tensors_sha256


class TorchScriptEncoder(ImageEncoder):
    """A program that embeds (B, 3, S, S) images. It computes in the precision that it was made with."""

    def __init__(self, path: Path, name: str, size: int, preprocessing: Preprocessing, device: torch.device):
        """name: in the identity. size: pixels. Raises ModelOptionError or WeightsError if it cannot be a teacher."""
        self._path, self._program = path, _loaded(path, device)
        dim, self._takes_batches = self._tried(size, device)
        tensors = _tensors(self._program)
        count, num_bytes = (sum(measure(t) for t in tensors.values()) for measure in (Tensor.numel, _num_bytes))
        description = {
            "name": name,
            "weights": "file",
            "weights_sha256": tensors_sha256(tensors),
            "activation": "none",
            "input_size": size,
            **preprocessing.as_config(),
            "embed_dim": dim,
            "parameters_image": count,
            "parameters_total": count,
            "bytes_image": num_bytes,
            "bytes_total": num_bytes,
        }
        super().__init__(description, device, precision="float32")

    def _encode(self, images: Tensor) -> Tensor:
        if self._takes_batches:
            return self._program(images)
        return torch.cat([self._program(image[None]) for image in images])

    @torch.inference_mode()
    def _tried(self, size: int, device: torch.device) -> tuple[int, bool]:
        """(embedding dimension, whether it takes more than one image at once: some are traced for one only)."""
        problem = ""
        for count in (2, 1):
            try:
                vectors = self._program(torch.zeros(count, 3, size, size, device=device))
            except RuntimeError as error:
                if is_of_the_machine(error):
                    raise
                lines = [line for line in str(error).splitlines() if line.strip()]
                problem = lines[-1].strip()[:300] if lines else type(error).__name__
                continue
            if not isinstance(vectors, Tensor):
                raise ModelOptionError(f"{self._path} returns a {type(vectors).__name__}, not one tensor of embeddings")
            if vectors.ndim == 2 and len(vectors) == count:
                return vectors.shape[1], count > 1
            problem = f"it gives {tuple(vectors.shape)} for {count} images, not one row for each"
        raise ModelOptionError(
            f"{self._path} does not embed images of {size} pixels (--teacher-input-size chooses others): {problem}"
        )


def _loaded(path: Path, device: torch.device) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated
            return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        if is_of_the_machine(error):
            raise
        raise WeightsError(
            f"{path} cannot be loaded as a TorchScript program: {' '.join(str(error).split())[:200]}"
        ) from error


def _tensors(program: Any) -> dict[str, Tensor]:
    """All tensors of a program by name: parameters, buffers, and constants in its code, as in frozen programs."""
    tensors = dict(program.state_dict())
    for name, module in program.named_modules():
        try:
            constants = module.code_with_constants[1].const_mapping
        except (RuntimeError, AttributeError):  # a module without forward() has no code
            continue
        tensors |= {f"{name}.{key}": value for key, value in constants.items() if isinstance(value, Tensor)}
    return tensors


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
