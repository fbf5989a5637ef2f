"""Label sets: class names, clips with hard labels, and what soft logits are made from.

A label set is an index over rows that are in the cache already; it knows no video and no model.
"""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import safetensors.numpy

from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.errors import LabelSetError
from embedonce.cache.limits import MAX_CLASSES, MAX_NAME, brief, check_range, check_text
from embedonce.cache.schema import check_uid

ZERO_SHOT, FITTED, NO_LOGITS = "zero-shot", "fitted", "none"
KINDS = (ZERO_SHOT, FITTED, NO_LOGITS)


@dataclass(frozen=True)
class ClipLabel:
    """A window [start_sec, end_sec) of one video. label indexes LabelSet.classes; -1 where it has none."""

    clip_id: str
    video_uid: str
    start_sec: float
    end_sec: float
    label: int
    split: str


@dataclass(frozen=True)
class LabelSet:
    """One set of classes over a cache.

    prompts: for each class the texts its zero-shot vector was made from. logit_scale: what cosines were
    multiplied by (None for a fitted head). facts: how it was made, as JSON values.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    logit_scale: float | None
    facts: dict
    clips: tuple[ClipLabel, ...] = ()

    @property
    def has_logits(self) -> bool:
        return self.kind != "none"


def head_tensors(parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Weight, bias, weight, bias, … of a head's linear layers, in order, under the names a label set stores."""
    names = [f"{kind}_{layer}" for layer in range(len(parameters) // 2) for kind in ("weight", "bias")]
    return dict(zip(names, parameters, strict=True))


def tensors_from(data: bytes, width: int, num_classes: int) -> dict[str, np.ndarray]:
    """The tensors in safetensors bytes. ValueError where they are no head from width numbers to these classes."""
    try:
        tensors = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"no safetensors: {error}") from error
    expected, sides = {"class_text": (num_classes, width), "logit_scale": (1,)}, [num_classes]
    if "class_text" not in tensors:
        sides = [width, *(len(tensors[f"bias_{layer}"]) for layer in range(len(tensors) // 2))]
        shapes = [shape for inner, outer in itertools.pairwise(sides) for shape in ((outer, inner), (outer,))]
        expected = head_tensors(shapes)
    if {name: tensor.shape for name, tensor in tensors.items()} != expected or sides[-1] != num_classes:
        raise ValueError(f"its tensors {', '.join(tensors)} have other shapes than a head of {num_classes} classes has")
    return tensors


def logits_from(tensors: dict[str, np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    """(N, V, D) embeddings -> (N, V, C) float32 logits, before softmax and temperature.

    tensors: class_text (C, D) unit vectors and logit_scale (1,), or a head's weight_i (out, in) and bias_i (out,)
    with ReLU between its layers.
    """
    values = embeddings.astype(np.float32)
    if "class_text" in tensors:
        return tensors["logit_scale"][0] * (values @ tensors["class_text"].T)
    layers = sum(name.startswith("weight_") for name in tensors)
    for layer in range(layers):
        values = values @ tensors[f"weight_{layer}"].T + tensors[f"bias_{layer}"]
        if layer < layers - 1:
            values = np.maximum(values, 0)
    return values


def label_set_document(labels: LabelSet) -> dict:
    return {
        "name": labels.name,
        "kind": labels.kind,
        "classes": list(labels.classes),
        "prompts": [list(texts) for texts in labels.prompts],
        "logit_scale": labels.logit_scale,
        "facts": labels.facts,
    }


def clip_from(document: dict) -> ClipLabel:
    """ValueError or TypeError where it is no clip."""
    clip = ClipLabel(**document)
    texts = (clip.clip_id, clip.video_uid, clip.split)
    for text in texts:
        check_text(text)
    if type(clip.label) is not int or clip.label < -1:
        raise ValueError(f"clip {brief(clip.clip_id)} has the label {brief(clip.label)}")
    if any(type(sec) not in (int, float) for sec in (clip.start_sec, clip.end_sec)):
        raise ValueError(f"clip {brief(clip.clip_id)} lasts from {brief(clip.start_sec)} to {brief(clip.end_sec)}")
    check_uid(clip.video_uid)
    if not -math.inf < float(clip.start_sec) < float(clip.end_sec) < math.inf:
        raise ValueError(f"clip {brief(clip.clip_id)} lasts from {clip.start_sec} to {clip.end_sec} s")
    return clip


def label_set_from(document: dict, clips: tuple[ClipLabel, ...]) -> LabelSet:
    """ValueError or TypeError where it is no label set, or a clip's label is none of the classes."""
    labels = LabelSet(
        name=document["name"],
        kind=document["kind"],
        classes=parse_list(document["classes"]),
        prompts=tuple(map(parse_list, parse_list(document["prompts"]))),
        logit_scale=document["logit_scale"],
        facts=document["facts"],
    )
    check_uid(validate_types(labels).name)
    if labels.kind not in KINDS:
        raise ValueError(f"there are no {brief(labels.kind)} labels")
    check_range("the number of classes", len(labels.classes), 0, MAX_CLASSES)
    for name in labels.classes:
        check_text(name, MAX_NAME)
    for text in itertools.chain.from_iterable(labels.prompts):
        check_text(text)
    if len(labels.prompts) not in (0, len(labels.classes)):
        raise ValueError(f"it has prompts of {len(labels.prompts)} classes, and {len(labels.classes)} classes")
    if any(clip.label >= len(labels.classes) for clip in clips):
        raise ValueError(f"a clip's label is none of the {len(labels.classes)} classes")
    return replace(labels, clips=clips)


def check_same(asked: LabelSet, stored: LabelSet) -> None:
    """LabelSetError where a label set of this name exists and means something else."""
    if asked.kind != stored.kind:
        problem = f"holds {stored.kind} labels, not {asked.kind}"
    elif asked.classes != stored.classes:
        problem = f"has other classes ({_brief(stored.classes)}) than the data now ({_brief(asked.classes)})"
    elif asked.kind == "zero-shot" and asked.prompts != stored.prompts:
        problem = "was made from other prompts"
    else:
        return
    raise LabelSetError(f"label set {stored.name!r} of this cache {problem}; give the new one a name with --label-set")


def _brief(classes: tuple[str, ...]) -> str:
    return f"{len(classes)}: " + ", ".join(classes[:4]) + (", …" if len(classes) > 4 else "")
