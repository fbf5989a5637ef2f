"""The export format fp16: ONNX with a frame encoder in float16; its inputs and outputs keep their types."""

from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.onnx_graphs import CLIP_NAME, OnnxFormat
from embedonce.pipeline.export.parity import HALF


class OnnxFloat16(OnnxFormat):
    file_names = ("frames.fp16.onnx", CLIP_NAME)
    limits = HALF

    def convert(self, frames: bytes, inputs: ExportInputs) -> bytes:
        from embedonce.pipeline.runtimes.onnx_files import in_half_precision

        return in_half_precision(frames)
