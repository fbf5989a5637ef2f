"""The model card of an exported student: README.md of its folder. Words only; computes nothing."""

from dataclasses import dataclass

from embedonce.pipeline.console.printable import markdown, markdown_code
from embedonce.pipeline.export.parity import Parity

HEAD = """---
library_name: timm
tags: [image-feature-extraction, video-classification, embedonce, distillation]
---
# A student of {teacher}: {size} at {resolution} px

A small model for first-person video: each frame becomes a {dim}-number embedding in the space of {teacher}, and
{frames} frames of a clip {what}. Trained from a cache of that teacher's embeddings, without the teacher.

## How good it is

On {clips} clips of the split {split} (label set {label_set}): top-1 {top1}, the teacher {teacher_top1}.
Every file was run when it was made, on the same clips, beside the PyTorch model it comes from:

| file | size | top-1 | same class as PyTorch | cosine with PyTorch | largest difference |
|---|---|---|---|---|---|
{rows}

## How to run it

`frames.*.onnx`: `frames` (N, 3, {resolution}, {resolution}) uint8 RGB to `features` (N, {dim}) and `embeddings`
(N, {dim}) of unit length. Scaling and normalization are inside. `clip.onnx`: `features` (B, T, {dim}), `t_rel_sec`
(B, T) float32 seconds since the clip's start and `mask` (B, T) bool to `embedding` (B, {dim}){logits}. A stream runs
the first once for each frame and the second over the last {frames} features. `frames.pte` and `clip.pte`, where they
are there, do the same for one image, or one clip of at most 64 frames, at a time.

Frames, as in training: {asked}; each set upright, with square pixels, in full-range RGB,
resized (bicubic, with antialiasing, accurate rounding) so that its short side has {short} px and its long side differs
from that by an even number; then {crop}, resized to {resolution} px ({interpolation}, with antialiasing).
Of a clip, at most {frames} frames, evenly spread, each with the time that it was taken for in `t_rel_sec` (a usual clip
here lasts {seconds:g} s). `examples/recognise.py` of embedonce does this with numpy, av and onnxruntime. Training saw
resized frames through JPEG of quality {quality}, which changes a few answers in a hundred.

The same facts and the class names are JSON under `embedonce` in the metadata of each ONNX file and in `config.json`.
Ranges of the int8 file were found on frames of the split {calibrated_on}.

{timm}
`student_parts.safetensors` holds what stands on the backbone: projection, attention over frames, head.

## What it is not

It knows what its teacher and its labels knew, on videos like those it was trained on; it was compared on the clips
named above and nowhere else. Classes: {classes}.
"""
TIMM = """The backbone loads with timm, from here or after an upload to a hub:
`timm.create_model("local-dir:THIS_FOLDER", pretrained=True)`.
"""
TINY = """The backbone is embedonce's own. Where embedonce is installed, timm knows it after `import embedonce`, and
`timm.create_model("local-dir:THIS_FOLDER", pretrained=True)` loads it.
"""
MOST_CLASSES = 60


@dataclass(frozen=True)
class Judged:
    """What the figures are of: a label set and a split, where int8 ranges come from; top-1, None without labels."""

    label_set: str
    split: str
    calibrated_on: str
    top1: float | None
    teacher_top1: float | None


def model_card(facts: dict, judged: Judged, sizes: dict[str, int], parity: dict[str, Parity]) -> str:
    """README.md. sizes: bytes by file name; parity: by format."""
    student, preprocessing, classes = facts["student"], facts["preprocessing"], facts["classes"]
    shown = ", ".join(map(markdown, classes[:MOST_CLASSES])) + (f" and {len(classes) - MOST_CLASSES} more"
                                                  if len(classes) > MOST_CLASSES else "")  # fmt: skip
    first = next(iter(parity.values()))
    return HEAD.format(
        teacher=markdown(facts["teacher"]["name"]),
        size=markdown(student["size"]),
        resolution=student["resolution"],
        dim=student["embed_dim"],
        frames=facts["frames_per_clip"],
        what=f"become one of {len(classes)} classes" if classes else "become one embedding",
        clips=first.clips,
        split=markdown_code(judged.split),
        calibrated_on=markdown_code(judged.calibrated_on),
        label_set=markdown_code(judged.label_set),
        top1=_percent(judged.top1),
        teacher_top1=_percent(judged.teacher_top1),
        rows="\n".join(_row(name, sizes, found) for name, found in parity.items()),
        logits=f" and `logits` (B, {len(classes)})" if classes else "",
        crop={"center square": "the centered square", "none": "the whole frame, made square"}[preprocessing["crop"]],
        interpolation=markdown(preprocessing["interpolation"]),
        asked=_asked(preprocessing["frames_per_second"]),
        short=preprocessing["canonical_short_side"],
        quality=preprocessing["jpeg_quality"],
        seconds=preprocessing["clip_seconds"],
        timm=TINY if student["size"] == "tiny" else TIMM,
        classes=shown or "none",
    )


def _asked(fps: float | None) -> str:
    """Which frames training took."""
    return "the key frames" if fps is None else f"those shown at {fps:g} times a second from the first frame on"


def _row(name: str, sizes: dict[str, int], found: Parity) -> str:
    file = "frames.pte" if name == "executorch" else f"frames.{name}.onnx"
    cells = (
        f"`{file}`",
        f"{sizes[file] / 1e6:.2f} MB",
        _percent(found.top1),
        _percent(found.agreement),
        f"{found.cosine:.5f}",
        f"{found.max_difference:.1e}",
    )
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "has no value" if share is None else f"{100 * share:.1f} %"
