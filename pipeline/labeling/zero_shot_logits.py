"""Zero-shot logits: the embeddings of the class prompts that image embeddings are compared with."""

import dataclasses

import numpy as np
import safetensors.numpy

from embedonce.cache.labels import ZERO_SHOT
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.class_checks import check_vectors, warn_of_long_texts
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.teachers.teacher import Teacher, TextTeacher, long_texts


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
    prompts = [list(texts) for texts in request.labels.prompts]
    warn_of_long_texts(request.labels.classes, long_texts(teacher, prompts))
    class_text, scale = teacher.class_text(prompts)
    check_vectors(request.source, class_text)
    tensors = {"class_text": class_text.astype(np.float32), "logit_scale": np.array([scale], np.float32)}
    labels = dataclasses.replace(request.labels, logit_scale=float(scale))
    return dataclasses.replace(request, labels=labels, tensors=safetensors.numpy.save(tensors))
