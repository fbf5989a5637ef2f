"""The image tower of a teacher in ONNX Runtime instead of PyTorch, on a CPU. Both are imported when it is used."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.runtimes.requirements import ONNX, as_pipeline_error, require

if TYPE_CHECKING:
    import torch

    from embedonce.models.teachers.open_clip import ClipTeacher

OPTION = "--teacher-runtime onnx"
MIN_COSINE = 0.999  # of an embedding with that of PyTorch, as between the runs of one cache


def check_onnx_runtime(device: str) -> None:
    """InputError if libraries are missing, ModelOptionError if the device is not a CPU."""
    require(ONNX, OPTION)
    if device != "cpu":
        raise ModelOptionError(f"{OPTION} computes on the CPU, not on {device}: add --device cpu or leave it out")


def onnx_encoder(tower: "torch.nn.Module", size: int) -> "Callable[[torch.Tensor], torch.Tensor]":
    """A function like this image tower: (B, 3, S, S) float32 -> (B, D), its first output if there are several.

    PipelineError if it cannot be exported.
    """
    import torch

    with as_pipeline_error("ONNX Runtime cannot run this teacher", f"leave out {OPTION}"):
        from embedonce.pipeline.runtimes.onnx_files import to_onnx
        from embedonce.pipeline.runtimes.onnx_runtime import Session

        model = to_onnx(tower, {"images": (torch.zeros(2, 3, size, size), {0: "batch"})}, None)
        session = Session(model, torch.get_num_threads())
    return lambda images: torch.from_numpy(session(images=images.contiguous().numpy())[session.outputs[0]])


def use_onnx_runtime(teacher: "ClipTeacher") -> None:
    """Let ONNX Runtime embed the images of a teacher on a CPU.

    PipelineError if that fails; ModelOptionError if an embedding of test images changes by more than rounding does.
    """
    encode = onnx_encoder(teacher.image_tower, teacher.input_size)
    with as_pipeline_error("ONNX Runtime cannot run this teacher", f"leave out {OPTION}"):
        worst = teacher.worst_cosine(encode)
    if not worst >= MIN_COSINE:
        raise ModelOptionError(
            f"ONNX Runtime does not reproduce the embeddings of this teacher (cosine {worst:.4f}, at least "
            f"{MIN_COSINE} expected): leave out {OPTION}"
        )
    teacher.replace_image_tower(encode, "onnx")
