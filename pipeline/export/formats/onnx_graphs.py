"""What the ONNX formats share: the float32 graphs, how the files are run, and their usage in the model card."""

from abc import abstractmethod

from embedonce.pipeline.console.printable import markdown
from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import Call, ExportFormat, ExportInputs, RunnableStudent
from embedonce.pipeline.runtimes.requirements import ONNX

CLIP_NAME = "clip.onnx"
FRAME_INPUTS = ("frames",)
CLIP_INPUTS = ("features", "t_rel_sec", "mask")
FRAME_OUTPUTS = ["features", "embeddings"]
USAGE = """`frames.*.onnx` maps `frames` (N, 3, {resolution}, {resolution}) uint8 RGB to `features` (N, {dim}) and
`embeddings` (N, {dim}) of unit length; scaling and normalization are inside. `clip.onnx` maps `features` (B, T, {dim}),
`t_rel_sec` (B, T) float32 (seconds since the clip's start) and `mask` (B, T) bool to `embedding` (B, {dim}){logits}.
For a stream, run the first once per frame and the second on the features of the last {frames} frames. The metadata of
each ONNX file holds the settings and the class names as JSON under `embedonce`."""


class OnnxFormat(ExportFormat):
    """A frame encoder in one precision, and the clip head in float32."""

    requirement = ONNX

    @abstractmethod
    def convert(self, frames: bytes, inputs: ExportInputs) -> bytes:
        """The frame encoder in this format's precision. frames: its float32 ONNX model."""

    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        from embedonce.pipeline.runtimes.onnx_files import with_metadata

        frames = inputs.shared("frames in float32", lambda: frames_model(inputs))
        clip = inputs.shared(CLIP_NAME, lambda: clip_model(inputs))
        frames_name, clip_name = self.file_names
        return {frames_name: with_metadata(self.convert(frames, inputs), inputs.facts.as_dict()), clip_name: clip}

    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        frames, clip = (files[name] for name in self.file_names)
        return RunnableStudent(_call(frames, FRAME_INPUTS), _call(clip, CLIP_INPUTS))

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        return (
            USAGE.format(
                resolution=markdown(facts.preprocessing.resolution),
                dim=markdown(facts.student["embed_dim"]),
                frames=facts.frames_per_clip,
                logits=f" and `logits` (B, {len(facts.classes)})" if facts.classes else "",
            ),
        )


def frames_model(inputs: ExportInputs) -> bytes:
    """The frame encoder as a float32 ONNX model without metadata, which the other precisions are converted from."""
    from embedonce.pipeline.runtimes.onnx_files import to_onnx

    return to_onnx(inputs.frame_encoder, {"frames": (inputs.frame_example, {0: "batch"})}, FRAME_OUTPUTS)


def clip_model(inputs: ExportInputs) -> bytes:
    """The clip head as an ONNX model with its metadata."""
    from embedonce.pipeline.runtimes.onnx_files import to_onnx, with_metadata

    axes = {0: "batch", 1: "length"}
    examples = {name: (tensor, axes) for name, tensor in zip(CLIP_INPUTS, inputs.clip_example, strict=True)}
    return with_metadata(to_onnx(inputs.clip_head, examples, inputs.clip_outputs), inputs.facts.as_dict())


def _call(model: bytes, names: tuple[str, ...]) -> Call:
    from embedonce.pipeline.runtimes.onnx_runtime import Session

    session = Session(model)
    return lambda *arrays: list(session(**dict(zip(names, arrays, strict=True))).values())
