"""evaluate(): the command evaluate as a function."""

from typing import Unpack

from embedonce.pipeline.api.keywords import settings_from
from embedonce.pipeline.api.option_types import EvaluateOptions
from embedonce.pipeline.api.progress_events import OnProgress, reported_to
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.api.results import Evaluation
from embedonce.pipeline.api.signatures import takes_options_of
from embedonce.pipeline.evaluation.output_files import PLOT_NAME, REPORT_NAME
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME


@takes_options_of(EvaluateConfig)
def evaluate(*, on_progress: OnProgress | None = None, **options: Unpack[EvaluateOptions]) -> Evaluation:
    """Compare a student with its teacher on held-out clips; write the figures, predictions, a plot and a report.

    Raises TypeError and ValueError for wrong arguments, PipelineError for what makes the run impossible, CacheError
    for a cache that cannot be used.
    """
    config = settings_from(EvaluateConfig, "evaluate", options)
    from embedonce.pipeline.evaluation import evaluate as evaluation

    with in_python_terms(EvaluateConfig.options()), reported_to(on_progress):
        encoders = None
        if config.teacher_latency:
            from embedonce.pipeline.evaluation.teacher_latency import encoders_for

            encoders = encoders_for(config)
        results = evaluation.evaluate(config, encoders)
    names = (RESULTS_NAME, PREDICTIONS_NAME, PLOT_NAME, REPORT_NAME)
    return Evaluation(results, {name: config.output_dir / name for name in names})
