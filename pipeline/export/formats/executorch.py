"""The export format executorch: ExecuTorch programs for XNNPACK, which run one image or one clip at a time."""

import numpy as np
from torch import Tensor, nn

from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportFormat, ExportInputs, RunnableStudent
from embedonce.pipeline.export.parity import EXACT
from embedonce.pipeline.runtimes.batches_of_one import MAX_FRAMES
from embedonce.pipeline.runtimes.requirements import EXECUTORCH

USAGE = """`frames.pte` maps one image (1, 3, {resolution}, {resolution}) uint8 RGB to features and embeddings, and
`clip.pte` the features, times and mask (float32, 1 for a frame) of one clip of at most {length} frames to its
embedding{logits}."""


class MaskOfFloats(nn.Module):
    """A clip head whose mask is 1.0 for a frame: ExecuTorch's interface for Android has no tensors of booleans."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, t_rel_sec: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return self.head(features, t_rel_sec, mask > 0.5)


class ExecuTorch(ExportFormat):
    file_names = ("frames.pte", "clip.pte")
    limits = EXACT
    requirement = EXECUTORCH

    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        from embedonce.pipeline.runtimes.executorch_programs import to_executorch

        features, times, mask = (tensor[:1] for tensor in inputs.clip_example)
        return {
            "frames.pte": to_executorch(inputs.frame_encoder, (inputs.frame_example[:1],)),
            "clip.pte": to_executorch(MaskOfFloats(inputs.clip_head), (features, times, mask.float()), {1: "length"}),
        }

    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        from embedonce.pipeline.runtimes.executorch_programs import load_program

        head = load_program(files["clip.pte"])
        return RunnableStudent(
            load_program(files["frames.pte"]), lambda rows, times, mask: head(rows, times, mask.astype(np.float32))
        )

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        logits = " and logits" if facts.classes else ""
        return (USAGE.format(resolution=facts.preprocessing.resolution, length=MAX_FRAMES, logits=logits),)
