"""The model card of an exported student: README.md of its folder. Computes no figures."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from embedonce.pipeline.console.printable import markdown, markdown_code
from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.export.weights import OWN_SIZES
from embedonce.pipeline.frames.preprocessing import Preprocessing

if TYPE_CHECKING:
    from embedonce.pipeline.export.format import ExportFormat

CARD_NAME = "README.md"
TEXT = """---
library_name: timm
tags: [image-feature-extraction, video-classification, embedonce, distillation]
---
# Student of {teacher}: {size} at {resolution} px

A small model for first-person video. It maps each frame to a {dim}-dimensional embedding in the space of {teacher}, and
up to {frames} frames of a clip to {output}. It was trained on cached embeddings of that teacher.

## Accuracy

On {clips} clips of the split {split} (label set {label_set}), top-1 accuracy is {top1} for the PyTorch model and
{teacher_top1} for the teacher. Every file below was run on the same clips during the export, and compared with
PyTorch{exceptions}:

| file | size | top-1 | same class as PyTorch | cosine with PyTorch | largest difference |
|---|---|---|---|---|---|
{rows}

## How to run it

{usage}

{probabilities}Prepare frames as in training: {sampling}. Each one is upright, with square pixels, in full-range RGB,
resized (bicubic, with antialiasing and accurate rounding) so that its short side has {short} px and its long side
differs from that by an even number; then {crop} is resized to {resolution} px ({interpolation}, with antialiasing).
Of a clip, use at most {frames} evenly spread frames; `t_rel_sec` holds the time that each one was sampled for. A
typical clip lasts {seconds:g} s. Training frames went through JPEG of quality {quality}; leaving this out changes a few
predictions in a hundred.

`config.json` holds the same settings and the class names as JSON under `embedonce`.

{timm}
`student_parts.safetensors` holds what follows the backbone: projection, attention over frames if it has any, and head.

## Limitations

The student learned from its teacher and its labels, on videos like those of its training set. It was evaluated on the
clips named above and nowhere else. Classes: {classes}.
"""
TIMM = """The backbone loads with timm, from this folder or after an upload to a hub:
`timm.create_model("local-dir:THIS_FOLDER", pretrained=True)`.
"""
OWN = """The backbone is embedonce's own. With embedonce installed, timm knows it after `import embedonce`, and
`timm.create_model("local-dir:THIS_FOLDER", pretrained=True)` loads it.
"""
CROPS = {"center square": "the centered square", "none": "the whole frame, made square,"}
MAX_CLASSES = 60


def model_card(
    facts: ExportFacts,
    held_out: HeldOutFacts,
    sizes: dict[str, int],
    parity: dict[str, Parity],
    formats: dict[str, "ExportFormat"],
) -> str:
    """The text of README.md. sizes: bytes by file name; parity, formats: of the exported formats, by their names."""
    preprocessing = facts.preprocessing
    rows = (_row(formats[name].file_names[0], sizes, figures) for name, figures in parity.items())
    usage = (text for name in parity for text in formats[name].card_paragraphs(facts, held_out))
    return TEXT.format(
        teacher=markdown(facts.teacher["name"]),
        size=markdown(facts.student["size"]),
        resolution=facts.student["resolution"],
        dim=facts.student["embed_dim"],
        frames=facts.frames_per_clip,
        output=f"one of {len(facts.classes)} classes" if facts.classes else "one embedding",
        clips=next(iter(parity.values())).clips,
        split=markdown_code(held_out.split),
        label_set=markdown_code(held_out.label_set),
        top1=_percent(held_out.top1),
        teacher_top1=_percent(held_out.teacher_top1),
        exceptions=_exceptions(formats, parity),
        rows="\n".join(rows),
        usage=_paragraphs(usage),
        probabilities=_probabilities(facts),
        crop=_crop(preprocessing),
        interpolation=markdown(preprocessing.interpolation),
        sampling=_sampling(preprocessing.frames_per_second),
        short=preprocessing.canonical_short_side,
        quality=preprocessing.jpeg_quality,
        seconds=preprocessing.clip_seconds,
        timm=OWN if facts.student["size"] in OWN_SIZES else TIMM,
        classes=_classes(facts.classes),
    )


def _exceptions(formats: dict[str, "ExportFormat"], parity: dict[str, Parity]) -> str:
    """Which files were not run by what they are made for."""
    names = {formats[name].file_names[0]: figures.evaluated_by for name, figures in parity.items()}
    told = [f"{markdown_code(name)} was evaluated by {by}" for name, by in names.items() if by is not None]
    return f" ({'; '.join(told)})" if told else ""


def _paragraphs(texts: Iterable[str]) -> str:
    """Each text once, in order: formats may share some."""
    return "\n\n".join(dict.fromkeys(texts)) or "See the documentation of the format."


def _probabilities(facts: ExportFacts) -> str:
    """A paragraph about the logits; empty without classes."""
    if not facts.classes:
        return ""
    function = "sigmoids" if facts.multi_label else "softmax"
    if facts.temperature == 1:
        return f"Class probabilities are the {function} of the logits, without a temperature.\n\n"
    return (
        f"Class probabilities are the {function} of the logits, which are divided by the temperature "
        f"{facts.temperature:.4g} already. It was fitted to the clips that training selected its best epoch by.\n\n"
    )


def _classes(classes: list[str]) -> str:
    names = ", ".join(map(markdown, classes[:MAX_CLASSES])) or "none"
    return names + (f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else "")


def _crop(preprocessing: Preprocessing) -> str:
    share = "" if preprocessing.crop_fraction == 1 else f"the central {100 * preprocessing.crop_fraction:g} % of "
    return share + CROPS[preprocessing.crop]


def _sampling(fps: float | None) -> str:
    return "the key frames" if fps is None else f"{fps:g} frames per second, from the first frame on"


def _row(name: str, sizes: dict[str, int], figures: Parity) -> str:
    cells = (
        markdown_code(name),
        f"{sizes[name] / 1e6:.2f} MB",
        _percent(figures.top1),
        _percent(figures.agreement),
        f"{figures.cosine:.5f}",
        f"{figures.max_difference:.1e}",
    )
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f} %"
