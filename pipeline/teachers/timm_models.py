"""Image models of timm as teachers, without a text tower. torch and timm are imported when one is checked or loaded."""

import dataclasses

from embedonce.models.names import RANDOM_WEIGHTS
from embedonce.pipeline.teachers.encoder_teacher import EncoderTeacher, OverlappingEncoderTeacher
from embedonce.pipeline.teachers.teacher import CallTime, Teacher, TeacherLoader, TeacherOptions


class TimmLoader(TeacherLoader):
    """Loads `timm:NAME` with pretrained weights, those of a file, or random ones."""

    has_text_tower = False

    def load(self, options: TeacherOptions) -> Teacher:
        from embedonce.models.device import choose_device
        from embedonce.models.teachers.timm_models import load_timm

        self.check_options(options)
        device = choose_device(options.device)
        made = OverlappingEncoderTeacher if device.type == "cuda" else EncoderTeacher
        return made(load_timm(_name(options), _weights(options), device, options.seed))

    def check_options(self, options: TeacherOptions) -> None:
        from embedonce.models.errors import ModelOptionError
        from embedonce.models.teachers.timm_models import checked_name

        for option, value in (("activation", options.activation), ("preprocess", options.preprocess)):
            if value is not None:
                raise ModelOptionError(f"--teacher-{option} is for models of open_clip: timm knows this of its models")
        checked_name(_name(options), _weights(options))

    def time_per_image(self, options: TeacherOptions) -> CallTime:
        """As in TeacherLoader, with random weights: they take the same time, and none are downloaded."""
        return super().time_per_image(dataclasses.replace(options, weights=RANDOM_WEIGHTS))


def _name(options: TeacherOptions) -> str:
    return options.model.partition(":")[2]


def _weights(options: TeacherOptions) -> str:
    return options.weights or "pretrained"
