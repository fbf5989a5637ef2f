"""Label sets: class names, clips with hard labels, and what soft logits are made from.

A label set is an index over rows that are in the cache already; it knows no video and no model.
"""

from dataclasses import dataclass

import numpy as np

from cache.errors import LabelSetError
from cache.schema import FORMAT_VERSION

KINDS = ("zero-shot", "fitted", "none")


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
        "format_version": FORMAT_VERSION,
        "name": labels.name,
        "kind": labels.kind,
        "classes": list(labels.classes),
        "prompts": [list(texts) for texts in labels.prompts],
        "logit_scale": labels.logit_scale,
        "facts": labels.facts,
    }


def label_set_from(document: dict, clips: tuple[ClipLabel, ...]) -> LabelSet:
    return LabelSet(
        name=document["name"],
        kind=document["kind"],
        classes=tuple(document["classes"]),
        prompts=tuple(tuple(texts) for texts in document["prompts"]),
        logit_scale=document["logit_scale"],
        facts=document["facts"],
        clips=clips,
    )


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
