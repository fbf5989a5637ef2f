"""The export format fp32: ONNX in float32."""

from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.onnx_graphs import CLIP_NAME, OnnxFormat
from embedonce.pipeline.export.parity import EXACT

EXAMPLE = "`examples/recognise.py` of embedonce runs `frames.fp32.onnx` on a video with numpy, av and onnxruntime."


class OnnxFloat32(OnnxFormat):
    file_names = ("frames.fp32.onnx", CLIP_NAME)
    limits = EXACT

    def convert(self, frames: bytes, inputs: ExportInputs) -> bytes:
        return frames

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        return (*super().card_paragraphs(facts, held_out), EXAMPLE)
