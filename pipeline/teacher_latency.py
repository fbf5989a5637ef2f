"""A teacher to time: the cached identity's architecture with random weights, for speed does not depend on them.

The one module of stage three that may load a teacher; it is imported only where the user asks for this figure.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from cache.store import open_reader
from models.clip_teacher import image_tower_for_latency
from models.device import choose_device
from pipeline.errors import InputError


def teacher_forward(cache_dir: Path, device: str, teacher_model: str | None) -> Callable[[], object]:
    """A call that runs one image through the image tower. teacher_model: the configuration file, where it has one."""
    name = open_reader(cache_dir).identity.teacher.name
    if teacher_model is not None and Path(teacher_model).stem != name and teacher_model != name:
        raise InputError(f"--teacher-model {teacher_model} is not {name}, which made the cache")
    place = choose_device(device)
    tower, size = image_tower_for_latency(teacher_model or name, place)
    image = torch.zeros(1, 3, size, size, device=place)

    def forward():
        with torch.inference_mode():
            return tower(image)

    return forward
