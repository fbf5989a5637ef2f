"""Teachers' image encoders to time, with random weights: speed does not depend on them.

The only module of evaluation that loads a teacher; it is imported only for --teacher-latency.
"""

import logging
from pathlib import Path

import torch

from embedonce.cache.store import open_reader
from embedonce.models.device import choose_device
from embedonce.models.folding import treated, unfolded
from embedonce.models.names import OTHER_LIBRARIES, TEACHER_SIZES, teacher_name
from embedonce.models.teachers.open_clip import image_tower_for_latency
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.costs import TimedModel, size_of
from embedonce.pipeline.evaluation.settings import EvaluateConfig

log = logging.getLogger(__name__)

REFERENCE = TEACHER_SIZES["base"]


def encoders_for(config: EvaluateConfig) -> dict[str, TimedModel]:
    """Those of an evaluation, on the device that the student is measured on; ONNX Runtime uses the CPU."""
    return image_encoders(config.cache_dir, "cpu" if config.runtime == "onnx" else config.device, config.teacher_model)


def image_encoders(cache_dir: Path | str, device: str, teacher_model: str | None) -> dict[str, TimedModel]:
    """The "teacher" of this cache, and ViT-B/32 as "reference" if that is another model.

    teacher_model: the teacher's configuration file, if it has one. InputError if it is of another model.
    """
    name = open_reader(cache_dir).identity.teacher.name
    if name.partition(":")[0] in OTHER_LIBRARIES:
        raise InputError(f"--teacher-latency times models of open_clip, and the teacher of this cache is {name}")
    if teacher_model is not None and name not in (teacher_name(teacher_model), Path(teacher_model).stem):
        raise InputError(f"--teacher-model {teacher_model} is not {name}, the teacher of this cache")
    place = choose_device(device)
    encoders = {"teacher": _timed_model(teacher_model or name, place)}
    return encoders if name == REFERENCE else encoders | {"reference": _timed_model(REFERENCE, place)}


def _timed_model(model: str, place: torch.device) -> TimedModel:
    encoder, size = image_tower_for_latency(model, place)
    stored = size_of(encoder)
    encoder = treated(encoder)
    count = unfolded(encoder)
    if count:
        log.warning(
            "%s is timed with %d batch normalizations that could not be folded; those of the student are folded",
            model,
            count,
        )
    return TimedModel(encoder, torch.zeros(1, 3, size, size, device=place), stored)
