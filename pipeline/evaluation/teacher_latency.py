"""Image towers to time: the cached identity's architecture with random weights, for speed does not depend on them.

The one module of stage three that may load a teacher; it is imported only where the user asks for these figures.
"""

import logging
from pathlib import Path

import torch

from embedonce.cache.store import open_reader
from embedonce.models.device import choose_device
from embedonce.models.folding import treated, unfolded
from embedonce.models.names import TEACHER_SIZES
from embedonce.models.teachers.open_clip import image_tower_for_latency
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.costs import TimedModel, size_of

log = logging.getLogger(__name__)

REFERENCE = TEACHER_SIZES["base"]


def image_encoders(cache_dir: Path, device: str, teacher_model: str | None) -> dict[str, TimedModel]:
    """The "teacher", and as "reference" ViT-B/32 where that is another one. teacher_model: the configuration file,
    where the teacher has one."""
    name = open_reader(cache_dir).identity.teacher.name
    if teacher_model is not None and Path(teacher_model).stem != name and teacher_model != name:
        raise InputError(f"--teacher-model {teacher_model} is not {name}, which made the cache")
    place = choose_device(device)
    found = {"teacher": _side(teacher_model or name, place)}
    return found if name == REFERENCE else found | {"reference": _side(REFERENCE, place)}


def _side(model: str, place: torch.device) -> TimedModel:
    tower, size = image_tower_for_latency(model, place)
    facts = size_of(tower)
    tower = treated(tower)
    left = unfolded(tower)
    if left:
        log.warning(
            "%s is timed with %d batch normalisations that could not be folded, unlike the student", model, left
        )
    return TimedModel(tower, torch.zeros(1, 3, size, size, device=place), facts)
