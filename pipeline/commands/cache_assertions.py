"""Options that assert properties of a cache before it is used, and options that only extract-teacher accepts."""

from collections.abc import Callable
from pathlib import Path

import click

from embedonce.models.names import TEACHER_SIZES
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.settings.options import CACHE, Option

TEACHER_SIZE = Option(
    name="teacher_size",
    help="Fail unless this teacher made the cache.",
    group=CACHE,
    choices=TEACHER_SIZES,
)
NUM_ACTIONS = Option(
    name="num_actions",
    value_type=int,
    help="Fail unless the label set has this many classes.",
    group=CACHE,
    aliases=("--num-classes",),
)


def check_cache(
    cache_dir: Path | str, label_set: str | None, teacher_size: str | None, num_actions: int | None
) -> None:
    """CheckpointError if the cache was made by another teacher, or its label set has another number of classes."""
    from embedonce.cache.label_set_reader import LabelSetReader
    from embedonce.cache.layout import Layout, read_identity

    teacher = read_identity(cache_dir).teacher.name
    if teacher_size is not None and teacher != TEACHER_SIZES[teacher_size]:
        raise CheckpointError(
            f"--teacher-size {teacher_size} is {TEACHER_SIZES[teacher_size]}, but {cache_dir} was made by {teacher}; "
            "leave the option out or give another --cache-dir"
        )
    if num_actions is None:
        return
    layout = Layout.at(cache_dir)
    layout.refuse_links()
    num_classes = len(LabelSetReader(layout).read(label_set).classes)  # reads no records, as opening the cache would
    if num_actions != num_classes:
        raise CheckpointError(
            f"--num-actions {num_actions}, but the label set has {num_classes} classes; leave the option out or give "
            "another --label-set"
        )


def refused(name: str, is_flag: bool = False) -> Callable:
    """A hidden option of extract-teacher: a command that reads only a cache refuses it with an explanation."""
    return click.option(name, is_flag=is_flag, hidden=True, expose_value=False, callback=_refuse)


def _refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value:
        raise click.UsageError(
            f"{param.opts[0]} describes the videos, but {ctx.info_name} reads only a cache: give it to "
            "extract-teacher, which makes the cache, and run that first"
        )
