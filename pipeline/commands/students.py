"""The commands about students: train-student, evaluate and compare.

Click only: parse, make one call, say what came of it.
"""

from pathlib import Path

import click

from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import LossTerm
from embedonce.models.names import PROJECTIONS, STUDENT_SIZES
from embedonce.pipeline.commands.common_options import (
    ASSERTIONS,
    CACHE_DIR,
    COMMON,
    LABEL_SET,
    OUTPUT_DIR,
    OVERWRITE,
    PATH,
    PATH_OR_NAME,
    STUDENT_CHECKPOINT,
    WORKERS,
)
from embedonce.pipeline.commands.terminal import belongs_to_extraction, build_config, echo, options, show
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.settings.choices import RUNTIMES, SPLITS
from embedonce.pipeline.training.settings import ON_ACCELERATOR, ON_CPU, TrainConfig

BY_DEVICE = {name: f"[default: {ON_CPU[name]} on a CPU, else {ON_ACCELERATOR[name]}]" for name in ON_CPU}


def _weight_option(term: LossTerm):
    """The option that sets the weight of a loss term."""
    weight = term.weight
    return click.option(
        *weight.flags, weight.name, type=float, default=weight.default, show_default=True, help=weight.help
    )


@click.command()
@CACHE_DIR
@OUTPUT_DIR
@LABEL_SET
@click.option(
    "--student-size",
    help=f"{', '.join(STUDENT_SIZES)}, or any backbone of timm by name; several, with commas between, learn at once. "
    + BY_DEVICE["student_size"],
)
@click.option(
    "--student-resolution", type=int, help="Input side, 128 to 256 pixels. " + BY_DEVICE["student_resolution"]
)
@click.option(
    "--student-pretrained/--no-student-pretrained",
    default=None,
    help="Start from timm's ImageNet weights, or from scratch. [default: pretrained where weights exist]",
)
@click.option(
    "--projection", type=click.Choice(PROJECTIONS), default="mlp", show_default=True, help="To the teacher's space."
)
@click.option("--epochs", type=int, default=30, show_default=True, help="Passes over the training clips.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Clips per step.")
@click.option("--lr", type=float, default=1e-3, show_default=True, help="Peak learning rate.")
@click.option("--weight-decay", type=float, default=0.05, show_default=True, help="AdamW's.")
@options(*map(_weight_option, loss_terms()))
@click.option("--temperature", type=float, default=4.0, show_default=True, help="Of the response term.")
@click.option("--frames-per-clip", type=int, help="Frames the student sees of a clip. " + BY_DEVICE["frames_per_clip"])
@click.option("--views", type=int, help="Stored random views to learn from; 0: the evaluation crop. [default: all]")
@click.option("--jitter", type=float, default=0.0, show_default=True, help="Of the student's colors, such as 0.3.")
@click.option(
    "--ema", type=float, default=0.0, show_default=True, help="Keep an average of the weights, decay such as 0.999."
)
@click.option("--accumulate-steps", type=int, default=1, show_default=True, help="Batches of one optimizer step.")
@click.option(
    "--patience", type=int, default=0, show_default=True, help="Stop after so many epochs without a better one."
)
@click.option("--amp/--no-amp", default=True, show_default=True, help="Mixed precision where the device has it.")
@click.option("--compile", is_flag=True, help="Compile the students with torch.compile.")
@click.option(
    "--checkpoint-steps",
    type=int,
    default=500,
    show_default=True,
    help="Save within an epoch after so many batches, at the end of the optimizer step.",
)
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's files, too.")
@click.option("--num-workers", type=int, default=WORKERS, show_default="half the cores, at most 8", help="Loaders.")
@click.option("--overwrite", is_flag=True, help="Start anew where --output-dir holds another training run.")
@click.option("--num-samples", hidden=True, expose_value=False, callback=belongs_to_extraction)
@ASSERTIONS
@COMMON
def train_student(teacher_size: str | None, num_actions: int | None, **settings):
    """Train students from a cache: no teacher, no videos.

    Stopped runs continue by themselves when the same command is given again. Under torchrun, all processes train
    together.
    """
    config = build_config(TrainConfig.from_options, {"options": settings})
    from embedonce.pipeline.training import trainer

    _check_assertions(config, teacher_size, num_actions)
    result = trainer.train(config)
    if not result.summary:  # another process tells it
        return
    show(result.summary)
    from embedonce.cache.store import open_reader
    from embedonce.pipeline.console.next_commands import evaluate_line

    reader = open_reader(config.cache_dir)
    echo(evaluate_line(reader, reader.label_set(config.label_set), result.best_paths[0]))


@click.command()
@CACHE_DIR
@STUDENT_CHECKPOINT
@OUTPUT_DIR
@LABEL_SET
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Which clips.")
@click.option("--num-samples", type=int, help="Evaluate on this many clips, chosen by --seed. [default: all]")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Clips per step.")
@click.option("--num-workers", type=int, default=WORKERS, show_default="half the cores, at most 8", help="Loaders.")
@click.option(
    "--teacher-latency",
    is_flag=True,
    help="Also cost image towers of the cached architecture and of ViT-B/32, with random weights (needs open_clip).",
)
@click.option(
    "--runtime", type=click.Choice(RUNTIMES), default="torch", show_default=True, help="What all sides are timed in."
)
@click.option(
    "--teacher-model",
    type=PATH_OR_NAME,
    help="Configuration file of the cached teacher, if --teacher-latency needs it.",
)
@OVERWRITE
@click.option("--student-size", help="Assert the checkpoint's size.")
@ASSERTIONS
@COMMON
def evaluate(student_size, teacher_size, num_actions, **options):
    """Set a student beside its teacher on held-out clips."""
    config = build_config(EvaluateConfig, options)
    from embedonce.pipeline.evaluation import evaluate as stage
    from embedonce.pipeline.reporting.console import comparison_table

    _check_assertions(config, teacher_size, num_actions)
    towers = _towers(config) if config.teacher_latency else None
    results = stage.evaluate(config, towers, student_size)
    show(comparison_table(results))
    echo(f"results: {config.output_dir / 'evaluation_results.json'}, predictions.npz")
    echo(f"plot:    {config.output_dir / 'comparison_plot.png'}")
    echo(f"report:  {config.output_dir / 'report.html'}")


@click.command()
@click.argument("evaluations", nargs=-1, type=PATH, metavar="EVALUATION...")
@click.option(
    "--output-dir",
    type=PATH,
    default=Path("results/comparison"),
    show_default=True,
    help="Folder for what this command makes.",
)
@CACHE_DIR
@LABEL_SET
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Which clips.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Clips per step.")
@click.option("--num-workers", type=int, default=WORKERS, show_default="half the cores, at most 8", help="Loaders.")
@OVERWRITE
@COMMON
def compare(**options):
    """Set students beside each other: a table, comparison.csv, .json and .png.

    Each EVALUATION is an evaluation_results.json, a folder that has one, or a student checkpoint (.pt). Checkpoints
    are evaluated first, into folders of --output-dir; all options but that one are about them.
    """
    config = build_config(CompareConfig, options)
    from embedonce.pipeline.evaluation import compare as stage
    from embedonce.pipeline.reporting.console import students_table

    show(students_table(stage.compare(config)))
    echo(f"results: {config.output_dir / 'comparison.json'}, comparison.csv")
    echo(f"plot:    {config.output_dir / 'comparison.png'}")


def _check_assertions(config, teacher_size: str | None, num_actions: int | None) -> None:
    from embedonce.pipeline.commands.assertions import check_cache

    check_cache(config.cache_dir, config.label_set, teacher_size, num_actions)


def _towers(config: EvaluateConfig):
    from embedonce.pipeline.evaluation.teacher_latency import image_encoders

    return image_encoders(config.cache_dir, "cpu" if config.runtime == "onnx" else config.device, config.teacher_model)


COMMANDS = (train_student, evaluate, compare)
