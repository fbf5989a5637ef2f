"""The identity and the provenance of a cache.

The identity is what settings and teacher define; a run with another identity is refused. The provenance (library
versions, host, device) is recorded with each shard, and never a reason to refuse one.
"""

import importlib.metadata
import platform
import socket
from dataclasses import replace
from typing import Any

from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.schema import DEFAULT_VIEW_AREA, CacheIdentity, TeacherIdentity, format_version_for
from embedonce.cache.store import check_identity, has_cache, read_identity
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.teachers.teacher import Teacher
from embedonce.pipeline.video.container import DECODERS

RECORDED_LIBRARIES = ("numpy", "av", "pillow", "torch", "open_clip_torch", "timm", "onnxruntime", "h5py")
MIN_SHORT_SIDE = 256  # pixels
OPTIONS = {  # of extract-teacher, by the field of the identity that they set
    "backend": "--backend",
    "canonical_short_side": "--canonical-short-side",
    "jpeg_quality": "--jpeg-quality",
    "num_views": "--views",
    "view_seed": "--seed",
    "decoder": "--decoder",
    "sampling": "--sampling",
    "fps": "--fps",
    "snap_tolerance": "--snap-tolerance",
    "view_area": "--view-area",
}
OF_RANDOM_VIEWS = ("view_seed", "view_area")  # without effect where there are none


def make_identity(config: ExtractConfig, teacher: Teacher) -> CacheIdentity:
    """The identity of the cache that these settings and this teacher write. ModelOptionError if it embeds windows."""
    identity = teacher.identity
    if identity.window > 1:
        raise ModelOptionError(
            f"the teacher {identity.name} embeds windows of {identity.window} frames, and the teacher that makes a "
            "cache embeds single ones: make it with another teacher, then add this one with add-teacher"
        )
    return identity_with(config, identity)


def identity_with(config: ExtractConfig, teacher: TeacherIdentity) -> CacheIdentity:
    """Like make_identity, for a teacher that need not be loaded."""
    short_side = config.canonical_short_side or default_short_side(teacher.input_size)
    view_area = config.view_area if config.views else DEFAULT_VIEW_AREA
    return CacheIdentity(
        format_version=format_version_for(config.sampling, teacher.crop_fraction, view_area),
        backend=config.backend,
        teacher=teacher,
        canonical_short_side=short_side,
        jpeg_quality=config.jpeg_quality,
        num_views=config.views,
        view_seed=config.seed if config.views else 0,
        decoder=DECODERS[config.decoder],
        sampling=config.sampling,
        fps=config.even_fps,
        snap_tolerance=config.snap_sec,
        view_area=view_area,
    )


def default_short_side(input_size: int) -> int:
    """The short side of canonical frames, in pixels, for a teacher with this input size: 9/7 of it, rounded up."""
    return max(MIN_SHORT_SIDE, -(-9 * input_size // 7))


def check_settings(config: ExtractConfig) -> None:
    """IdentityMismatchError if the existing cache was made with other settings, whatever its teacher."""
    if has_cache(config.cache_dir):
        stored = read_identity(config.cache_dir)
        _check(config, stored.teacher, stored)


def check_teacher_name(config: ExtractConfig, name: str, weights: str) -> None:
    """IdentityMismatchError if the existing cache was made by a teacher of another name, weights or activation."""
    if not has_cache(config.cache_dir):
        return
    stored = read_identity(config.cache_dir)
    activation = config.teacher_activation or stored.teacher.activation
    configured = replace(stored.teacher, name=name, weights=weights, activation=activation)
    _check(config, configured, stored)


def _check(config: ExtractConfig, teacher: TeacherIdentity, stored: CacheIdentity) -> None:
    """IdentityMismatchError, which ends with the options to give, if the settings are not those of the cache."""
    requested = identity_with(config, teacher)
    try:
        check_identity(requested, stored, config.cache_dir)
    except IdentityMismatchError as error:
        needed = "" if teacher != stored.teacher else _needed_options(requested, stored)
        raise IdentityMismatchError(f"{error}: {needed}" if needed else str(error)) from None


def _needed_options(requested: CacheIdentity, stored: CacheIdentity) -> str:
    """All options, with the values of the cache, that the settings differ in. Empty if one of them cannot be given."""
    decoders = {name: value for value, name in DECODERS.items()}
    values = vars(stored) | {"decoder": decoders.get(stored.decoder)}
    changed = [name for name in OPTIONS if getattr(stored, name) != getattr(requested, name)]
    if "decoder" in changed and values["decoder"] is None:
        return ""
    implied = [name for name in changed if values[name] is None]  # by the sampling
    implied += OF_RANDOM_VIEWS if not stored.num_views else ()
    return " ".join(f"{OPTIONS[name]} {values[name]}" for name in changed if name not in implied)


def provenance(teacher: Teacher) -> dict[str, Any]:
    """JSON values: Python version, host, library versions, and what the teacher reports of itself."""
    versions = {}
    for name in RECORDED_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    environment = {"python": platform.python_version(), "host": socket.gethostname(), "libraries": versions}
    return environment | teacher.device_facts()
