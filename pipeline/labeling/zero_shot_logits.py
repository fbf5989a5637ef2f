"""Zero-shot logits: the embeddings of the class prompts that image embeddings are compared with."""

import dataclasses

import numpy as np
import safetensors.numpy

from embedonce.cache.labels import ZERO_SHOT
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.class_checks import check_vectors
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.teachers.teacher import Teacher, TextHead, TextTeacher


def with_class_text(request: LabelSetRequest, teacher: Teacher) -> LabelSetRequest:
    """The request with the embeddings of its class prompts, if its logits are zero-shot.

    Raises InputError if the teacher has no text tower.
    """
    if request.labels.kind != ZERO_SHOT:
        return request
    if not isinstance(teacher, TextTeacher):
        raise InputError(
            f"the teacher {teacher.identity.name} has no text tower, which zero-shot logits need: use --teacher-head "
            "fitted or --teacher-head none"
        )
    head = TextHead(*teacher.class_text([list(texts) for texts in request.labels.prompts]))
    check_vectors(request.source, head.class_text)
    tensors = {"class_text": head.class_text.astype(np.float32), "logit_scale": _one(head.logit_scale)}
    labels = dataclasses.replace(request.labels, logit_scale=float(head.logit_scale))
    if head.logit_bias is not None:
        tensors["logit_bias"] = _one(head.logit_bias)
        labels = dataclasses.replace(labels, logit_bias=float(head.logit_bias))
    return dataclasses.replace(request, labels=labels, tensors=safetensors.numpy.save(tensors))


def _one(value: float) -> np.ndarray:
    return np.array([value], np.float32)
