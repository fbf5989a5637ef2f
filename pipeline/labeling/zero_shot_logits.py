"""Zero-shot logits: the embeddings of the class prompts that image embeddings are compared with."""

import dataclasses

import numpy as np
import safetensors.numpy

from embedonce.cache.labels import NO_LOGITS, ZERO_SHOT
from embedonce.pipeline.labeling.class_checks import check_vectors, warn_of_long_texts
from embedonce.pipeline.labeling.requests import LabelSetRequest, head_without_text_tower, lacks_text_tower
from embedonce.pipeline.teachers.teacher import Teacher, TextHead, TextTeacher, long_texts


def with_class_text(request: LabelSetRequest, teacher: Teacher) -> LabelSetRequest:
    """The request with the embeddings of its class prompts, if its logits are zero-shot.

    A teacher without a text tower gets a fitted head instead, or no logits, unless the user chose zero-shot ones: then
    it raises InputError.
    """
    if request.labels.kind != ZERO_SHOT:
        return request
    if not isinstance(teacher, TextTeacher) and not request.is_head_chosen:
        return _without_prompts(request, head_without_text_tower(teacher.identity.name, request.source))
    if not isinstance(teacher, TextTeacher):
        raise lacks_text_tower(teacher.identity.name)
    prompts = [list(texts) for texts in request.labels.prompts]
    warn_of_long_texts(request.labels.classes, long_texts(teacher, prompts))
    head = TextHead(*teacher.class_text(prompts))
    check_vectors(request.source, head.class_text)
    tensors = {"class_text": head.class_text.astype(np.float32), "logit_scale": _one(head.logit_scale)}
    labels = dataclasses.replace(request.labels, logit_scale=float(head.logit_scale))
    if head.logit_bias is not None:
        tensors["logit_bias"] = _one(head.logit_bias)
        labels = dataclasses.replace(labels, logit_bias=float(head.logit_bias))
    return dataclasses.replace(request, labels=labels, tensors=safetensors.numpy.save(tensors))


def _without_prompts(request: LabelSetRequest, kind: str) -> LabelSetRequest:
    labels = request.labels
    name = kind if labels.name == ZERO_SHOT else labels.name
    stores = labels.stores_logits or kind == NO_LOGITS
    facts = {key: value for key, value in labels.facts.items() if not key.startswith("prompts_")}
    changed = dataclasses.replace(labels, name=name, kind=kind, prompts=(), facts=facts, stores_logits=stores)
    return dataclasses.replace(request, labels=changed)


def _one(value: float) -> np.ndarray:
    return np.array([value], np.float32)
