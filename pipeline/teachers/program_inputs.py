"""What images the file of a program (ONNX, TorchScript) takes: what it does not say is given, or assumed."""

import logging
from pathlib import Path

from embedonce.models.errors import ModelOptionError
from embedonce.models.preprocessing import CLIP, EXAMPLE, OPTION, Preprocessing, parse
from embedonce.pipeline.teachers.teacher import TeacherOptions

log = logging.getLogger(__name__)

DEFAULT_SIZE = 224  # pixels


def checked_file(options: TeacherOptions, option: str) -> Path:
    """The file of a teacher that is a program. ModelOptionError if there is none."""
    path = Path(options.weights or "")
    if options.weights is None or (options.cached and options.weights == options.cached.weights):
        raise ModelOptionError(f"the teacher of this cache is a file: name it with {option} FILE")
    if not path.is_file():
        raise ModelOptionError(f"{option} {path}: there is no such file")
    if options.activation is not None:
        raise ModelOptionError(f"--teacher-activation is for models of open_clip: {path} has its own activations")
    return path


def preprocessing_of(options: TeacherOptions, path: Path) -> Preprocessing:
    """The chosen preprocessing, that of the cache, or CLIP's, which the log says."""
    if options.preprocess is not None:
        chosen = parse(options.preprocess)
        if isinstance(chosen, str):
            raise ModelOptionError(f"{OPTION} {chosen!r} names weights of open_clip; for {path} write '{EXAMPLE}'")
        return chosen
    cached = options.cached
    if cached is not None:
        return Preprocessing(cached.mean, cached.std, cached.interpolation, cached.resize_mode)
    log.warning("%s does not say how its images are preprocessed: as for CLIP is assumed, %s '%s'", path, OPTION, CLIP)
    return CLIP


def size_of(options: TeacherOptions, stated: int | None, path: Path) -> int:
    """The input size in pixels: what the file states, what was chosen, that of the cache, or the default.

    stated: by the file; None if it takes any size or does not say. ModelOptionError if that differs from the choice.
    """
    chosen = options.input_size or (options.cached.input_size if options.cached else None)
    if stated is not None and chosen not in (None, stated):
        raise ModelOptionError(f"{path} takes images of {stated} pixels, not {chosen}: leave out --teacher-input-size")
    if stated is None and chosen is None:
        log.warning("%s does not say its input size: %d pixels are assumed (--teacher-input-size)", path, DEFAULT_SIZE)
    return stated or chosen or DEFAULT_SIZE
