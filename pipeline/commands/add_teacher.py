"""The command add-teacher: embed the stored frames of a cache with a further teacher."""

from typing import Any

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.extract_teacher import DRY_RUN
from embedonce.pipeline.commands.output import show
from embedonce.pipeline.extraction.added_teacher.settings import AddTeacherConfig
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.processes.waiting_threads import let_waiting_threads_sleep


@command("add-teacher", DRY_RUN, settings=AddTeacherConfig)
def add_teacher(dry_run: bool, **options: Any) -> None:
    """Add the embeddings of a further teacher to a cache, from its stored frames; no video is opened.

    Embeds what this teacher has not embedded yet: a run that was stopped continues, and after extract-teacher has added
    videos, the same command adds theirs. Students then learn from several teachers: train-student --teachers.
    """
    config = build_config(AddTeacherConfig, options)
    keep_freed_memory()
    let_waiting_threads_sleep()
    from embedonce.pipeline.extraction.added_teacher import add_teacher as adding

    show(adding.dry_run(config) if dry_run else adding.run(config).summary)
