"""Settings of extract-teacher that contradict each other. Each function raises ValueError, with the options."""

from typing import TYPE_CHECKING

from embedonce.cache.labels import FITTED
from embedonce.cache.schema import DEFAULT_VIEW_AREA, TIME_TOLERANCE_SEC, max_snap_tolerance
from embedonce.cache.stores.registry import is_url
from embedonce.models.preprocessing import parse
from embedonce.pipeline.engines.registry import RAY
from embedonce.pipeline.extraction.parts import Part
from embedonce.pipeline.settings.devices import check_devices, listed

if TYPE_CHECKING:
    from embedonce.pipeline.extraction.settings import ExtractConfig
    from embedonce.pipeline.extraction.teacher_settings import TeacherSettings

PROGRAMS = {"teacher_onnx": "onnx", "teacher_torchscript": "torchscript"}  # settings that name a file -> its loader


def check_settings(config: "ExtractConfig") -> None:
    """Check everything that concerns more than one option, besides those of the teacher."""
    if config.layout is not None and config.use_synthetic:
        raise ValueError("--layout describes the folders of --data-dir and cannot be used with --use-synthetic")
    if config.use_synthetic and config.data_dir is not None and is_url(config.data_dir):
        raise ValueError("--use-synthetic writes videos into a local folder, not to the URL of --data-dir")
    if config.part is not None:
        _check_part(config)
    if config.snap_tolerance is not None:
        _check_snap_tolerance(config, config.snap_tolerance)
    if config.view_area != DEFAULT_VIEW_AREA and not config.views:
        raise ValueError("--view-area requires random crops to be stored: --views 1 or more")
    _check_ray(config)
    if config.embed_texts and (config.part is not None or config.engine == RAY):
        given = "--engine ray" if config.part is None else "--part"
        raise ValueError(
            f"--embed-texts cannot be used with {given}: when everything is extracted, give it to relabel, which needs "
            "the annotations and no video"
        )


def check_teacher_settings(config: "TeacherSettings") -> None:
    """Check what concerns more than one option of the teacher."""
    _check_devices(config)
    if config.teacher_preprocess is not None:
        parse(config.teacher_preprocess)
    _check_program(config)


def _check_program(config: "TeacherSettings") -> None:
    """ValueError if a teacher is chosen both by its own file and in another way, or has a size that it knows."""
    given = [name for name in (*PROGRAMS, "teacher_module") if getattr(config, name) is not None]
    others = ("teacher_model", "teacher_weights", "teacher_activation")
    also = [name for name in others if getattr(config, name) is not None and given[:1] != ["teacher_module"]]
    if given and len(given + also) > 1:
        first, second, *_ = (f"--{name.replace('_', '-')}" for name in given + also)
        raise ValueError(f"{first} and {second} both choose the teacher: give one of them")
    if config.teacher_input_size is not None and not given:
        raise ValueError("--teacher-input-size requires --teacher-onnx, --teacher-torchscript or --teacher-module")


def _check_ray(config: "ExtractConfig") -> None:
    for name in ("ray_address", "ray_workers"):
        if getattr(config, name) is not None and config.engine != RAY:
            raise ValueError(f"--{name.replace('_', '-')} requires --engine ray")
    names_devices = ":" in config.device or len(listed(config.device)) > 1
    if config.engine == RAY and (names_devices or config.teacher_processes is not None):
        raise ValueError(
            "--engine ray gives each worker one GPU: choose how many with --ray-workers, and --device cuda or cpu"
        )


def _check_devices(config: "TeacherSettings") -> None:
    check_devices(config.device)
    num_listed = len(listed(config.device))
    if config.teacher_processes is not None and config.teacher_processes < num_listed:
        raise ValueError(
            f"--teacher-processes {config.teacher_processes} is fewer than the {num_listed} devices of --device "
            f"{config.device}: name fewer devices"
        )


def _check_part(config: "ExtractConfig") -> None:
    Part.parse(config.part or "")
    if config.engine == RAY:
        raise ValueError("--part cannot be used with --engine ray, which deals the videos to its workers itself")
    if config.use_synthetic:
        raise ValueError("--part needs videos that exist already: it cannot be used with --use-synthetic")
    if config.teacher_head == FITTED:
        raise ValueError(
            "--teacher-head fitted needs the frames of all parts and cannot be used with --part; when all have "
            "ended, use it with relabel"
        )


def _check_snap_tolerance(config: "ExtractConfig", seconds: float) -> None:
    """ValueError unless there are times that may be answered by frames that far away."""
    if config.sampling != "snap":
        raise ValueError("--snap-tolerance requires --sampling snap")
    most = max_snap_tolerance(config.fps)
    if seconds > most + TIME_TOLERANCE_SEC:
        raise ValueError(
            f"--snap-tolerance {seconds:g} is more than half of the interval between times at --fps {config.fps:g}, "
            f"so that frames could change places: give at most {most:g}"
        )
