"""train(): the command train-student as a function."""

from pathlib import Path
from typing import Unpack

from embedonce.pipeline.api.keywords import settings_from
from embedonce.pipeline.api.option_types import TrainOptions
from embedonce.pipeline.api.progress_events import OnProgress, reported_to
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.api.results import TrainedStudent, Training
from embedonce.pipeline.api.signatures import takes_options_of
from embedonce.pipeline.training.settings import TrainConfig


@takes_options_of(TrainConfig)
def train(*, on_progress: OnProgress | None = None, **options: Unpack[TrainOptions]) -> Training:
    """Train students from a cache; neither the teacher nor the videos are needed.

    A run that was stopped continues when the function is called with the same arguments. on_progress: called with a
    ProgressEvent at each step; an error that it raises ends the run. Scores of each epoch are logged (logging.INFO).

    Raises TypeError and ValueError for wrong arguments, PipelineError for what makes the run impossible, CacheError
    for a cache that cannot be used, ModelError for a student that cannot be built.
    """
    config = settings_from(TrainConfig, "train", options)
    from embedonce.pipeline.training import trainer

    with in_python_terms(TrainConfig.options()), reported_to(on_progress):
        result = trainer.train(config)
        is_first = bool(result.summary)  # of the processes of torchrun
        return Training(config.output_dir, tuple(map(_trained, result.best_paths)) if is_first else ())


def _trained(path: Path) -> TrainedStudent:
    from embedonce.pipeline.checkpoints import checkpoint

    best = checkpoint.load(path)
    return TrainedStudent(best.student.size, path, best.epoch, dict(best.selection), best.selected_by)
