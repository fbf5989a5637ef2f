"""The export format int8: ONNX with a frame encoder in 8-bit integers, calibrated on frames of the cache."""

from embedonce.pipeline.console.printable import markdown_code
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.onnx_graphs import CLIP_NAME, OnnxFormat
from embedonce.pipeline.export.parity import INT8

BATCH = 16
MIN_FRAMES = 8  # ranges of fewer cut off most of what other frames have
CALIBRATION = "The ranges of `frames.int8.onnx` were calibrated on frames of the split {split}."


class OnnxInt8(OnnxFormat):
    file_names = ("frames.int8.onnx", CLIP_NAME)
    limits = INT8

    def convert(self, frames: bytes, inputs: ExportInputs) -> bytes:
        from embedonce.pipeline.runtimes.onnx_integers import in_8_bit_integers

        calibration = inputs.calibration_frames
        if len(calibration) < MIN_FRAMES:
            raise InputError(
                f"int8 quantization is calibrated on at least {MIN_FRAMES} frames, and there are {len(calibration)}; "
                "raise --calibration-frames, cache more clips, or leave int8 out of --formats"
            )
        batches = [{"frames": calibration[start : start + BATCH]} for start in range(0, len(calibration), BATCH)]
        return in_8_bit_integers(frames, batches)

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        ranges = CALIBRATION.format(split=markdown_code(held_out.calibration_split))
        return (*super().card_paragraphs(facts, held_out), ranges)
