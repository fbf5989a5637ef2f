"""The export format coreml: zipped ML program packages in float16 for Apple's devices, one image or clip at a time."""

from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportFormat, ExportInputs, RunnableStudent
from embedonce.pipeline.export.formats.onnx_graphs import CLIP_INPUTS, FRAME_INPUTS, FRAME_OUTPUTS
from embedonce.pipeline.export.parity import HALF
from embedonce.pipeline.runtimes.batches_of_one import MAX_FRAMES, row_by_row
from embedonce.pipeline.runtimes.requirements import COREML

USAGE = """`frames.mlpackage.zip` and `clip.mlpackage.zip` hold Core ML programs in float16 for iOS 15, macOS 12 and
later; unzip each into a folder named `frames.mlpackage` or `clip.mlpackage`. The first takes `frames`, an RGB image of
{resolution} by {resolution} pixels (the input's scale is 1 and its bias 0: scaling and normalization are inside), and
returns `features` and `embeddings`. The second takes `features`, `t_rel_sec` and `mask` (1 for a frame) of one clip of
at most {length} frames and returns its `embedding`{logits}. The user-defined metadata of both holds the settings and
the class names as JSON under `embedonce`."""
UNTESTED = """**Converted and checked structurally; not run on an Apple device.** The figures above for
`frames.mlpackage.zip` are of embedonce's own evaluation of the saved programs with PyTorch on the computer that
exported them, operation by operation, with results rounded to float16. Core ML itself was not run: compare a few frames
on your device."""
IMAGE = "RGB image, as the preprocessing in the metadata describes it; 0 to 255 reach the program unchanged"
DESCRIPTIONS = {
    "features": "frame features, (1, D) of one frame, (1, T, D) of a clip",
    "embeddings": "(1, D), unit length, in the teacher's space",
    "t_rel_sec": "(1, T), seconds since the clip's start",
    "mask": "(1, T), 1 for a frame, 0 for none",
    "embedding": "(1, D), unit length, in the teacher's space",
    "logits": "(1, C), in the order of the class names in the metadata",
}


class CoreMl(ExportFormat):
    file_names = ("frames.mlpackage.zip", "clip.mlpackage.zip")
    limits = HALF
    requirement = COREML
    evaluated_by = "embedonce with PyTorch, not by Core ML"

    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        from embedonce.pipeline.runtimes.coreml_packages import Package, to_package

        facts, clip = inputs.facts.as_dict(), (tensor[:1] for tensor in inputs.clip_example)
        frames = {"frames": inputs.frame_example[:1].float()}  # pixels are floats inside of Core ML
        encoder = Package(frames, FRAME_OUTPUTS, _described("frames", *FRAME_OUTPUTS), facts, image="frames")
        names = (*CLIP_INPUTS, *inputs.clip_outputs)
        head = Package(dict(zip(CLIP_INPUTS, clip, strict=True)), inputs.clip_outputs, _described(*names), facts)
        packages = (to_package(inputs.frame_encoder, encoder), to_package(inputs.clip_head, head, has_length=True))
        return dict(zip(self.file_names, packages, strict=True))

    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        """The programs as they were saved, evaluated with PyTorch: Core ML exists on Apple's systems only."""
        from embedonce.pipeline.runtimes.coreml_packages import read_package

        frames, clip = (read_package(files[name]) for name in self.file_names)
        return RunnableStudent(row_by_row(frames.runnable(FRAME_INPUTS)), row_by_row(clip.runnable(CLIP_INPUTS)))

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        logits = " and `logits`" if facts.classes else ""
        usage = USAGE.format(resolution=facts.preprocessing.resolution, length=MAX_FRAMES, logits=logits)
        return usage, UNTESTED


def _described(*names: str) -> dict[str, str]:
    return {name: IMAGE if name == "frames" else DESCRIPTIONS[name] for name in names}
