"""The command evaluate: compare a student with its teacher."""

from typing import Any

from embedonce.pipeline.commands import cache_assertions
from embedonce.pipeline.commands.cache_assertions import NUM_ACTIONS, TEACHER_SIZE, refused
from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.settings.options import STUDENT, Option

STUDENT_SIZE = Option(name="student_size", help="Fail unless the checkpoint has this backbone.", group=STUDENT)


@command("evaluate", STUDENT_SIZE, TEACHER_SIZE, NUM_ACTIONS, settings=EvaluateConfig)
@refused("--data-dir")
@refused("--use-synthetic", is_flag=True)
def evaluate(student_size: str | None, teacher_size: str | None, num_actions: int | None, **options: Any) -> None:
    """Compare a student with its teacher on held-out clips.

    Writes evaluation_results.json, predictions.npz, comparison_plot.png and report.html.
    """
    config = build_config(EvaluateConfig, options)
    from embedonce.pipeline.evaluation import evaluate as evaluation
    from embedonce.pipeline.reporting.console import comparison_table

    cache_assertions.check_cache(config.cache_dir, config.label_set, teacher_size, num_actions)
    encoders = None
    if config.teacher_latency:
        from embedonce.pipeline.evaluation.teacher_latency import encoders_for

        encoders = encoders_for(config)
    results = evaluation.evaluate(config, encoders, student_size)
    show(comparison_table(results))
    echo(f"results: {config.output_dir / 'evaluation_results.json'}, predictions.npz")
    echo(f"plot:    {config.output_dir / 'comparison_plot.png'}")
    echo(f"report:  {config.output_dir / 'report.html'}")
