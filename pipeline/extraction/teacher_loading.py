"""Chooses, checks and loads the teacher that the settings name. Training and evaluation never import this."""

import logging
from dataclasses import dataclass, replace
from typing import TypeVar

from embedonce.cache.identity_document import check_teacher
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.store import check_identity
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import PYTORCH, SHIPPED_WEIGHTS
from embedonce.pipeline.extraction.setting_checks import PROGRAMS
from embedonce.pipeline.extraction.teacher_settings import TeacherSettings
from embedonce.pipeline.teachers.group import start_group
from embedonce.pipeline.teachers.modules import model_of_module
from embedonce.pipeline.teachers.places import is_cpu, teacher_places
from embedonce.pipeline.teachers.registry import DEFAULT, loader_of
from embedonce.pipeline.teachers.teacher import CallTime, Teacher, TeacherOptions, time_per_embedding

log = logging.getLogger(__name__)
Chosen = TypeVar("Chosen", bound=TeacherSettings)


@dataclass(frozen=True)
class EmbeddingFacts:
    """What an estimate needs to know of a teacher. time: of one embedding; see teacher_time()."""

    embed_dim: int
    window: int
    window_stride: int
    time: CallTime


def teacher_of(reader: CacheReader, **options) -> Teacher:
    """The teacher that made a cache. Raises IdentityMismatchError if the chosen teacher is another one.

    options: teacher_weights, teacher_model, teacher_preprocess (None: those of the cache), teacher_activation,
    teacher_module, teacher_onnx, teacher_torchscript, device, seed.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    cached = reader.identity.teacher
    defaults = {"teacher_model": cached.name, "teacher_weights": cached.weights}
    if not PROGRAMS.keys().isdisjoint(chosen):
        defaults = {}
    made = TeacherSettings(teacher_processes=1, **(defaults | chosen))
    config = with_registered_teacher(made)
    loaded = load_teacher(config, cached)
    check_identity(replace(reader.identity, teacher=loaded.identity), reader.identity, reader.cache_dir)
    return loaded


def teacher_time(config: TeacherSettings) -> CallTime:
    """Estimated time of the teacher for one image: less on several devices, and no processor time on a GPU."""
    options = replace(teacher_options(config), device=_places(config)[0])
    return _on_all_devices(config, loader_of(config.model).time_per_image(options))


def embedding_facts(config: TeacherSettings) -> EmbeddingFacts:
    """Of a teacher that is loaded only if nothing else tells its embedding dimension."""
    shape = loader_of(config.model).shape(config.model)
    if shape is not None:
        return EmbeddingFacts(shape[1], 1, 1, teacher_time(config))
    teacher = loader_of(config.model).load(replace(teacher_options(config), device=_places(config)[0]))
    identity, time = teacher.identity, _on_all_devices(config, time_per_embedding(teacher))
    return EmbeddingFacts(identity.embed_dim, identity.window, identity.window_stride, time)


def _places(config: TeacherSettings) -> tuple[str, ...]:
    return teacher_places(config.device, config.teacher_processes)


def _on_all_devices(config: TeacherSettings, on_one: CallTime) -> CallTime:
    places = _places(config)
    return on_one if is_cpu(places[0]) else CallTime(on_one.sec / len(set(places)), 0.0)


def with_registered_teacher(config: Chosen) -> Chosen:
    """The settings, after running the file of --teacher-module, with the name of the teacher that it registers."""
    if config.teacher_module is None:
        return config
    return replace(config, teacher_model=model_of_module(config.teacher_module, config.teacher_model))


def load_registered_teacher(config: TeacherSettings) -> Teacher:
    """The teacher of these settings, in a process that has not run the file of --teacher-module yet."""
    return load_teacher(with_registered_teacher(config))


def teacher_options(config: TeacherSettings, cached: TeacherIdentity | None = None) -> TeacherOptions:
    """The choice of a teacher in these settings; cached: the identity of the cache's teacher, if there is a cache."""
    how = config.teacher_activation, config.teacher_preprocess, config.device, config.seed
    weights, runtime, size = config.given_weights, config.teacher_runtime, config.teacher_input_size
    return TeacherOptions(config.model, weights, *how, cached, runtime=runtime, input_size=size)


def check_runtime(config: TeacherSettings) -> None:
    if config.teacher_runtime not in loader_of(config.model).runtimes:
        raise ModelOptionError(
            f"--teacher-runtime {config.teacher_runtime} is for open_clip's models, not for the teacher "
            f"{config.model!r}: leave it out"
        )


def load_teacher(config: TeacherSettings, cached: TeacherIdentity | None = None) -> Teacher:
    """cached: the identity of the cache's teacher; its preprocessing need not be given again."""
    loader, options, places = (
        loader_of(config.model),
        teacher_options(config, cached),
        teacher_places(config.device, config.teacher_processes),
    )
    if len(places) == 1:
        teacher: Teacher = loader.load(replace(options, device=places[0]))
        if not isinstance(teacher, Teacher):
            lacks = "identity, embed() and device_facts()"
            raise ModelOptionError(f"the teacher {config.model} is a {type(teacher).__name__}, which lacks {lacks}")
    else:
        teacher = start_group(config.teacher_module, options, places, config.most_images)
    name = teacher.identity.name
    try:
        check_teacher(teacher.identity)
    except (ValueError, TypeError) as error:
        raise ModelOptionError(f"the teacher {name} has an identity that no cache can have: {error}") from error
    if loader_of(name) is not loader:
        raise ModelOptionError(
            f"the teacher loaded for {config.model!r} has the name {name!r}, under which it is not registered: later "
            "commands could not load it again"
        )
    if config.weights in SHIPPED_WEIGHTS.values() and config.reads_real_videos:
        log.warning(
            "DEMO TEACHER: it was trained on the twelve actions of the synthetic videos; do not use it for real ones"
        )
    if config.weights == "random":
        log.warning("RANDOM TEACHER: its weights are random, so results are meaningless; for test runs only")
    return teacher


def check_teacher_options(config: TeacherSettings) -> None:
    """ModelOptionError for what is wrong with them, before videos are scanned if it takes no import of open_clip."""
    check_runtime(config)
    loader = loader_of(config.model)
    is_open_clip = loader is loader_of(DEFAULT)
    if not is_open_clip or config.teacher_activation is not None or config.teacher_runtime != PYTORCH:
        loader.check_options(teacher_options(config))
