"""The command line: parse, make a frozen config, make one call, say what came of it.

Knows options and words; every command imports its stage inside, so that --help and mistakes answer at once.
"""

import logging
import os
import sys
from pathlib import Path

import click

from cache.layout import BACKENDS
from cache.schema import SAMPLINGS
from models.names import STUDENT_SIZES, TEACHER_SIZES
from pipeline.cache_commands import CACHE_DIR, COMMANDS, PATH
from pipeline.config import (
    ACTIVATIONS,
    DECODERS,
    DEVICES,
    SPLITS,
    TEACHER_HEADS,
    EvaluateConfig,
    ExtractConfig,
    TrainConfig,
)
from pipeline.terminal import Explaining, belongs_to_extraction, options, read_config_file

NOTHING_TO_READ = """nothing to read: name a folder of videos, or ask for synthetic ones, for example
  python cli.py extract-teacher --data-dir ego4d_data
  python cli.py extract-teacher --use-synthetic --teacher-size demo"""


WORKERS = min(8, max(1, (os.cpu_count() or 2) // 2))  # loader processes: decoding needs little beside training
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
COMMON = options(
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to compute."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random."),
    click.option(
        "--config",
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=read_config_file,
        help="YAML file of defaults for this command's options, such as one a run saved.",
    ),
)
OUTPUT_DIR = click.option(
    "--output-dir", type=PATH, default=Path("results"), show_default=True, help="Folder for what this command makes."
)
LABEL_SET = click.option("--label-set", help="Label set of the cache to use. [default: the only one]")
ASSERTIONS = options(
    click.option("--teacher-size", type=click.Choice(TEACHER_SIZES), help="Assert which teacher made the cache."),
    click.option("--num-actions", type=int, help="Assert how many classes the label set has."),
    click.option("--data-dir", hidden=True, expose_value=False, callback=belongs_to_extraction),
    click.option("--use-synthetic", is_flag=True, hidden=True, expose_value=False, callback=belongs_to_extraction),
)


@click.group(
    cls=Explaining,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 110,
    },
)
@click.version_option(package_name="embedonce")
def main():
    """embedonce: embed once, train many.

    A CLIP teacher sees every video frame once (extract-teacher); small MobileViT students are trained from the
    cache it leaves, without the teacher or the videos (train-student), and compared with it (evaluate).

    \b
    Try it, with nothing to download:
      python cli.py extract-teacher --use-synthetic --teacher-size demo
      python cli.py train-student --no-student-pretrained
      python cli.py evaluate
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    for package in ("cache", "models", "pipeline"):
        logging.getLogger(package).setLevel(logging.INFO)


@main.command()
@click.option("--data-dir", type=PATH, help="Folder of videos: any, or one in Ego4D's layout.")
@click.option("--use-synthetic", is_flag=True, help="Make labelled synthetic egocentric videos and use those.")
@click.option("--num-samples", type=int, default=480, show_default=True, help="Labelled clips of the synthetic data.")
@click.option("--num-actions", type=int, help="Number of classes: the most frequent ones. [default: all]")
@click.option("--classes", type=FILE, help="File of class names, one a line, for zero-shot logits over any videos.")
@CACHE_DIR
@click.option("--backend", type=click.Choice(list(BACKENDS)), default="hdf5", show_default=True, help="Shard format.")
@click.option("--fps", type=float, default=2.0, show_default=True, help="Frames taken per second of video.")
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="fps",
    show_default=True,
    help="Evenly spaced times, or only the key frames: the cheapest, at times the encoder chose.",
)
@click.option(
    "--decoder", type=click.Choice(DECODERS), default="software", show_default=True, help="Who decodes the videos."
)
@click.option("--views", type=int, default=0, show_default=True, help="Stored random views per video, besides view 0.")
@click.option("--teacher-size", type=click.Choice(TEACHER_SIZES), default="base", show_default=True, help="CLIP size.")
@click.option("--teacher-model", help="Any open_clip model by name, or a JSON configuration file.")
@click.option(
    "--teacher-weights",
    help="An open_clip tag, a local file, or `random`. [default: openai; the demo teacher's own come with it]",
)
@click.option(
    "--teacher-activation",
    type=click.Choice(ACTIVATIONS),
    help="What a local weights file was trained with (OpenAI's: quickgelu).",
)
@click.option(
    "--teacher-head",
    type=click.Choice(TEACHER_HEADS),
    default="zero-shot",
    show_default=True,
    help="Soft logits: from class prompts, from an action head fitted to the labels, or none.",
)
@click.option("--label-set", help="Name of the label set. [default: the kind of --teacher-head]")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Images the teacher sees at once.")
@click.option("--shard-frames", type=int, default=512, show_default=True, help="Frames per shard, at most.")
@click.option("--canonical-short-side", type=int, help="Short side of stored frames. [default: by the teacher's input]")
@click.option("--jpeg-quality", type=int, default=90, show_default=True, help="Quality of stored frames.")
@click.option("--decode-workers", type=int, help="Decoding processes. [default: one less than there are cores]")
@click.option(
    "--video-timeout", type=float, default=120.0, show_default=True, help="Seconds a video may show no progress."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, how much space and time it takes; do nothing.")
@COMMON
@click.pass_context
def extract_teacher(ctx: click.Context, dry_run: bool, **options):
    """Embed every frame once: videos in, a teacher cache out.

    Runs again where it stopped; videos added since are added to the cache. Exit code 3: done, but some videos
    could not be used (each is named with its reason).
    """
    config = _make(ExtractConfig, options)
    if config.data_dir is None and not config.use_synthetic:
        raise click.UsageError(NOTHING_TO_READ)
    if dry_run and config.use_synthetic:
        raise click.UsageError("--dry-run looks at videos, and synthetic ones are only made by the run: leave one out")
    from pipeline import stage_one

    if dry_run:
        click.echo(stage_one.dry_run(config))
        return
    result = stage_one.run(config)
    click.echo(result.summary(config))
    ctx.exit(result.extraction.exit_code)


@main.command()
@CACHE_DIR
@OUTPUT_DIR
@LABEL_SET
@click.option("--student-size", type=click.Choice(STUDENT_SIZES), default="xxs", show_default=True, help="Student.")
@click.option("--student-resolution", type=int, default=224, show_default=True, help="Input side, 128 to 256 pixels.")
@click.option(
    "--student-pretrained/--no-student-pretrained",
    default=None,
    help="Start from timm's ImageNet weights, or from scratch. [default: pretrained where weights exist]",
)
@click.option("--epochs", type=int, default=30, show_default=True, help="Passes over the training clips.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Clips per step.")
@click.option("--lr", type=float, default=1e-3, show_default=True, help="Peak learning rate.")
@click.option("--weight-decay", type=float, default=0.05, show_default=True, help="AdamW's.")
@click.option("--alpha", type=float, default=1.0, show_default=True, help="Weight of the feature term.")
@click.option("--beta", type=float, default=1.0, show_default=True, help="Weight of the response term.")
@click.option("--gamma", type=float, default=0.5, show_default=True, help="Weight of the task term.")
@click.option("--temperature", type=float, default=4.0, show_default=True, help="Of the response term.")
@click.option("--frames-per-clip", type=int, default=8, show_default=True, help="Frames the student sees of a clip.")
@click.option("--num-workers", type=int, default=WORKERS, show_default="half the cores, at most 8", help="Loaders.")
@click.option("--overwrite", is_flag=True, help="Start anew where --output-dir holds another training run.")
@click.option("--num-samples", hidden=True, expose_value=False, callback=belongs_to_extraction)
@ASSERTIONS
@COMMON
def train_student(teacher_size: str | None, num_actions: int | None, **options):
    """Train a student from a cache: no teacher, no videos.

    Stopped runs continue by themselves when the same command is given again.
    """
    config = _make(TrainConfig, options | {"student_pretrained": _pretrained(options)})
    from pipeline import train

    _check_assertions(config, teacher_size, num_actions)
    result = train.train(config)
    click.echo(result.summary)
    click.echo(f"next: python cli.py evaluate --cache-dir {config.cache_dir} --student-checkpoint {result.best_path}")


@main.command()
@CACHE_DIR
@click.option(
    "--student-checkpoint",
    type=PATH,
    default=Path("results/best_student.pt"),
    show_default=True,
    help="The student to evaluate.",
)
@OUTPUT_DIR
@LABEL_SET
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Which clips.")
@click.option("--num-samples", type=int, help="Evaluate on this many clips, chosen by --seed. [default: all]")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Clips per step.")
@click.option("--num-workers", type=int, default=WORKERS, show_default="half the cores, at most 8", help="Loaders.")
@click.option(
    "--teacher-latency", is_flag=True, help="Also time a teacher of the cached architecture (needs open_clip)."
)
@click.option("--teacher-model", help="Configuration file of the cached teacher, where --teacher-latency needs it.")
@click.option("--student-size", type=click.Choice(STUDENT_SIZES), help="Assert the checkpoint's size.")
@ASSERTIONS
@COMMON
def evaluate(teacher_latency: bool, teacher_model: str | None, student_size, teacher_size, num_actions, **options):
    """Set a student beside its teacher on held-out clips."""
    config = _make(EvaluateConfig, options)
    from pipeline import evaluate as stage
    from pipeline.report import comparison_table

    _check_assertions(config, teacher_size, num_actions)
    teacher_forward = _teacher_to_time(config, teacher_model) if teacher_latency else None
    results = stage.evaluate(config, teacher_forward, student_size)
    click.echo(comparison_table(results))
    click.echo(f"results: {config.output_dir / 'evaluation_results.json'}")
    click.echo(f"plot:    {config.output_dir / 'comparison_plot.png'}")


def _make(kind, options: dict):
    try:
        return kind(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _pretrained(options: dict) -> bool:
    from models.names import PRETRAINED_SIZES

    asked = options["student_pretrained"]
    return options["student_size"] in PRETRAINED_SIZES if asked is None else asked


def _check_assertions(config, teacher_size: str | None, num_actions: int | None) -> None:
    from pipeline.assertions import check_cache

    check_cache(config.cache_dir, config.label_set, teacher_size, num_actions)


def _teacher_to_time(config: EvaluateConfig, teacher_model: str | None):
    from pipeline.teacher_latency import teacher_forward

    return teacher_forward(config.cache_dir, config.device, teacher_model)


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
