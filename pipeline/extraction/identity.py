"""The identity of the cache that settings and a teacher make, and whether a cache that is there has it.

Knows settings and identities; loads no model.
"""

from dataclasses import replace

from embedonce.cache.schema import FORMAT_VERSION, CacheIdentity, TeacherIdentity
from embedonce.cache.store import check_identity, has_cache, read_identity
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.teachers.teacher import Teacher
from embedonce.pipeline.video.container import DECODERS


def make_identity(config: ExtractConfig, teacher: Teacher) -> CacheIdentity:
    """The identity of the cache that these settings and this teacher write."""
    return identity_with(config, teacher.identity)


def identity_with(config: ExtractConfig, teacher: TeacherIdentity) -> CacheIdentity:
    """As make_identity, for a teacher that need not be loaded."""
    short_side = config.canonical_short_side or usual_short_side(teacher.input_size)
    return CacheIdentity(
        format_version=FORMAT_VERSION,
        backend=config.backend,
        teacher=teacher,
        canonical_short_side=short_side,
        jpeg_quality=config.jpeg_quality,
        num_views=config.views,
        view_seed=config.seed if config.views else 0,
        decoder=DECODERS[config.decoder],
        sampling=config.sampling,
        fps=config.fps if config.sampling == "fps" else None,
    )


def usual_short_side(input_size: int) -> int:
    """The short side, in pixels, of the canonical frames for a teacher of this input."""
    return max(256, -(-9 * input_size // 7))


def check_settings(config: ExtractConfig) -> None:
    """IdentityMismatchError where the cache that is there was made with other settings, whoever its teacher was."""
    if has_cache(config.cache_dir):
        stored = read_identity(config.cache_dir)
        check_identity(identity_with(config, stored.teacher), stored, config.cache_dir)


def check_teacher_name(config: ExtractConfig, name: str, weights: str) -> None:
    """Raise IdentityMismatchError if the cache was made by a teacher of another name, weights or activation."""
    if not has_cache(config.cache_dir):
        return
    stored = read_identity(config.cache_dir)
    activation = config.teacher_activation or stored.teacher.activation
    asked = replace(stored.teacher, name=name, weights=weights, activation=activation)
    check_identity(identity_with(config, asked), stored, config.cache_dir)
