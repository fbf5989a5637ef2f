"""Label sets: class names and clips with hard labels, and their documents. Their heads are in cache/heads.py."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.errors import LabelSetError
from embedonce.cache.limits import MAX_CLASSES, MAX_NAME, brief, check_range, check_text
from embedonce.cache.schema import FORMAT_VERSION, check_uid

ZERO_SHOT, FITTED, NO_LOGITS = "zero-shot", "fitted", "none"
KINDS = (ZERO_SHOT, FITTED, NO_LOGITS)


@dataclass(frozen=True)
class ClipLabel:
    """A window [start_sec, end_sec) of one video.

    label: index into LabelSet.classes; -1 if unlabeled. labels: in a label set with several labels per clip, all of
    them, in ascending order, and label is -1; None in other label sets.
    """

    clip_id: str
    video_uid: str
    start_sec: float
    end_sec: float
    label: int
    split: str
    labels: tuple[int, ...] | None = None

    @property
    def all_labels(self) -> tuple[int, ...]:
        """Its label, or its labels; none if it is unlabeled."""
        if self.labels is not None:
            return self.labels
        return (self.label,) if self.label >= 0 else ()


@dataclass(frozen=True)
class LabelSet:
    """One set of classes over a cache.

    kind: one of KINDS. prompts: for each class, the texts that its zero-shot vector was made from. logit_scale: what
    cosines were multiplied by; None unless zero-shot. facts: how it was made, as JSON values. stores_logits: False if
    logits are computed from embeddings whenever they are read. multi_label: whether clips have any number of labels.
    logit_bias: what was added to the scaled cosines; None unless the teacher was trained with a sigmoid loss.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    logit_scale: float | None
    facts: dict
    clips: tuple[ClipLabel, ...] = ()
    stores_logits: bool = True
    multi_label: bool = False
    logit_bias: float | None = None

    @property
    def has_logits(self) -> bool:
        return self.kind != NO_LOGITS

    @property
    def computes_logits(self) -> bool:
        """Whether it has logits that are not stored: they are computed from embeddings and the head when read."""
        return self.has_logits and not self.stores_logits


def multi_hot(labels: Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """(N, C) bool: which of the classes each of N clips has."""
    table = np.zeros((len(labels), num_classes), bool)
    for row, numbers in zip(table, labels, strict=True):
        row[list(numbers)] = True
    return table


def label_set_document(labels: LabelSet) -> dict:
    """Its fields but the clips; `logit_bias` and `multi_label` only if it has a bias, or clips with several labels."""
    document: dict[str, object] = {
        "name": labels.name,
        "kind": labels.kind,
        "classes": list(labels.classes),
        "prompts": [list(texts) for texts in labels.prompts],
        "logit_scale": labels.logit_scale,
        "facts": labels.facts,
        "stores_logits": labels.stores_logits,
    }
    if labels.logit_bias is not None:
        document["logit_bias"] = labels.logit_bias
    if labels.multi_label:
        document["multi_label"] = True
    return document


def clip_document(clip: ClipLabel) -> dict:
    """Its fields; without `labels` if there are none."""
    fields = asdict(clip)
    return fields if clip.labels is not None else {name: fields[name] for name in fields if name != "labels"}


def clip_from(document: dict) -> ClipLabel:
    """The clip with these fields. ValueError or TypeError if they are invalid."""
    several = {"labels": tuple(parse_list(document["labels"]))} if "labels" in document else {}
    clip = ClipLabel(**document | several)
    texts = (clip.clip_id, clip.video_uid, clip.split)
    for text in texts:
        check_text(text)
    if type(clip.label) is not int or clip.label < -1:
        raise ValueError(f"clip {brief(clip.clip_id)} has the invalid label {brief(clip.label)}")
    if clip.labels is not None:
        _check_several(clip, clip.labels)
    if any(type(sec) not in (int, float) for sec in (clip.start_sec, clip.end_sec)):
        raise ValueError(f"clip {brief(clip.clip_id)} lasts from {brief(clip.start_sec)} to {brief(clip.end_sec)}")
    check_uid(clip.video_uid)
    if not -math.inf < float(clip.start_sec) < float(clip.end_sec) < math.inf:
        raise ValueError(f"clip {brief(clip.clip_id)} lasts from {clip.start_sec} to {clip.end_sec} s")
    return clip


def _check_several(clip: ClipLabel, labels: tuple[int, ...]) -> None:
    """ValueError unless these are different class numbers in ascending order, in place of a single label."""
    is_right = all(type(label) is int and label >= 0 for label in labels) and list(labels) == sorted(set(labels))
    if not is_right or clip.label != -1:
        raise ValueError(f"clip {brief(clip.clip_id)} has the invalid labels {brief(list(labels))}")


def label_set_from(document: dict, clips: tuple[ClipLabel, ...]) -> LabelSet:
    """The label set with these fields. ValueError or TypeError if they are invalid, or a clip has an unknown label."""
    labels = LabelSet(
        name=document["name"],
        kind=document["kind"],
        classes=parse_list(document["classes"]),
        prompts=tuple(map(parse_list, parse_list(document["prompts"]))),
        logit_scale=document["logit_scale"],
        facts=document["facts"],
        stores_logits=document.get("stores_logits", True),
        multi_label=document.get("multi_label", False),
        logit_bias=document.get("logit_bias"),
    )
    check_uid(validate_types(labels).name)
    if labels.kind not in KINDS:
        raise ValueError(f"unknown kind of labels {brief(labels.kind)}; known are {', '.join(KINDS)}")
    check_range("the number of classes", len(labels.classes), 0, MAX_CLASSES)
    for name in labels.classes:
        check_text(name, MAX_NAME)
    for text in itertools.chain.from_iterable(labels.prompts):
        check_text(text)
    if len(labels.prompts) not in (0, len(labels.classes)):
        raise ValueError(f"it has prompts of {len(labels.prompts)} classes, and {len(labels.classes)} classes")
    if labels.computes_logits and document.get("format_version") == FORMAT_VERSION:
        raise ValueError(f"a label set without stored logits has another format version than {FORMAT_VERSION}")
    if labels.computes_logits and document.get("tensors_sha256") is None:
        raise ValueError("it has neither logits nor a head to compute them with")
    if labels.multi_label and document.get("format_version") == FORMAT_VERSION:
        raise ValueError(f"a label set with several labels per clip has another format version than {FORMAT_VERSION}")
    if any((clip.labels is not None) != labels.multi_label for clip in clips):
        raise ValueError("some of its clips have one label, and others a list of labels")
    if any(max(clip.all_labels, default=-1) >= len(labels.classes) for clip in clips):
        raise ValueError(f"a clip has a label beyond the {len(labels.classes)} classes")
    return replace(labels, clips=clips)


def check_same(requested: LabelSet, stored: LabelSet) -> None:
    """LabelSetError if the stored label set of this name has another kind, other classes or other prompts."""
    if requested.kind != stored.kind:
        problem = f"holds {stored.kind} labels, not {requested.kind}"
    elif requested.classes != stored.classes:
        problem = f"has other classes ({_brief(stored.classes)}) than the data now ({_brief(requested.classes)})"
    elif requested.multi_label != stored.multi_label:
        numbers = ("one label", "several labels")
        problem = f"has {numbers[stored.multi_label]} per clip, and the data now {numbers[requested.multi_label]}"
    elif requested.kind == "zero-shot" and requested.prompts != stored.prompts:
        problem = "was made from other prompts"
    else:
        return
    raise LabelSetError(f"label set {stored.name!r} of this cache {problem}; name the new one with --label-set")


def _brief(classes: tuple[str, ...]) -> str:
    return f"{len(classes)}: " + ", ".join(classes[:4]) + (", …" if len(classes) > 4 else "")
