"""What a user asserts about a cache before it is used: which teacher made it, how many classes it has.

Knows the cache's own words; loads no model.
"""

from pathlib import Path

from embedonce.cache.store import open_reader
from embedonce.models.names import TEACHER_SIZES
from embedonce.pipeline.errors import CheckpointError


def check_cache(cache_dir: Path, label_set: str | None, teacher_size: str | None, num_actions: int | None) -> None:
    """CheckpointError where the cache is not what the user takes it for."""
    reader = open_reader(cache_dir)
    if teacher_size is not None and reader.identity.teacher.name != TEACHER_SIZES[teacher_size]:
        raise CheckpointError(
            f"--teacher-size {teacher_size} is {TEACHER_SIZES[teacher_size]}, but {cache_dir} was made by "
            f"{reader.identity.teacher.name}; leave the option out or name another --cache-dir"
        )
    if num_actions is not None and (found := len(reader.label_set(label_set).classes)) != num_actions:
        raise CheckpointError(
            f"--num-actions {num_actions}, but the label set has {found} classes; leave the option out or name "
            "another --label-set"
        )
