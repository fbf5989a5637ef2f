"""The command train-student: train students from a cache."""

from typing import Any

from embedonce.pipeline.commands import cache_assertions
from embedonce.pipeline.commands.cache_assertions import NUM_ACTIONS, TEACHER_SIZE, refused
from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.training.settings import TrainConfig


@command("train-student", TEACHER_SIZE, NUM_ACTIONS, settings=TrainConfig)
@refused("--num-samples")
@refused("--data-dir")
@refused("--use-synthetic", is_flag=True)
def train_student(teacher_size: str | None, num_actions: int | None, **options: Any) -> None:
    """Train students from a cache; neither the teacher nor the videos are needed.

    A run that was stopped continues when the same command is given again. Under torchrun, all processes train
    together.
    """
    config = build_config(TrainConfig, options)
    keep_freed_memory()
    from embedonce.pipeline.console.next_commands import evaluate_line
    from embedonce.pipeline.training import trainer

    cache_assertions.check_cache(config.cache_dir, config.label_set, teacher_size, num_actions)
    result = trainer.train(config)
    if not result.summary:  # printed by the first process
        return
    show(result.summary)
    echo(evaluate_line(result.reader, result.labels, result.best_paths[0]))
