"""The export format executorch: ExecuTorch programs for XNNPACK, which run one image or one clip at a time."""

from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportFormat, ExportInputs, RunnableStudent
from embedonce.pipeline.export.parity import EXACT
from embedonce.pipeline.runtimes.requirements import EXECUTORCH

USAGE = """`frames.pte` maps one image (1, 3, {resolution}, {resolution}) uint8 RGB to features and embeddings, and
`clip.pte` the features, times and mask of one clip of at most {length} frames to its embedding{logits}."""


class ExecuTorch(ExportFormat):
    file_names = ("frames.pte", "clip.pte")
    limits = EXACT
    requirement = EXECUTORCH

    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        from embedonce.pipeline.runtimes.executorch_programs import to_executorch

        one_clip = tuple(tensor[:1] for tensor in inputs.clip_example)
        return {
            "frames.pte": to_executorch(inputs.frame_encoder, (inputs.frame_example[:1],)),
            "clip.pte": to_executorch(inputs.clip_head, one_clip, {1: "length"}),
        }

    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        from embedonce.pipeline.runtimes.executorch_programs import load_program

        return RunnableStudent(load_program(files["frames.pte"]), load_program(files["clip.pte"]))

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        from embedonce.pipeline.runtimes.executorch_programs import MAX_FRAMES

        logits = " and logits" if facts.classes else ""
        return (USAGE.format(resolution=facts.preprocessing.resolution, length=MAX_FRAMES, logits=logits),)
