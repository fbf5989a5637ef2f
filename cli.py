"""The command line: parse, make a frozen config, make one call, say what came of it.

Knows options and words; every command imports its stage inside, so that --help and mistakes answer at once.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

INSTALLED = find_spec("embedonce")
if INSTALLED is None:
    sys.stderr.write("embedonce is not installed: run `make install`, or `pip install -e .` in this folder\n")
    sys.exit(5)
if Path(INSTALLED.origin).resolve().parent != Path(__file__).resolve().parent:
    sys.stderr.write(
        f"this is not the embedonce that is installed, which is in {Path(INSTALLED.origin).parent}: run `make install` "
        "here, or `embedonce` in place of `python cli.py`\n"
    )
    sys.exit(5)

import click

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.schema import SAMPLINGS
from embedonce.models.names import TEACHER_SIZES
from embedonce.models.preprocessing import EXAMPLE as PREPROCESS_EXAMPLE
from embedonce.pipeline.commands import annotations, caches, download_ego4d, export_student, students
from embedonce.pipeline.commands.common_options import (
    ANNOTATIONS,
    CACHE_DIR,
    CLASS_NAMES,
    CLASSES,
    COMMON,
    PATH,
    PATH_OR_NAME,
    PROMPT_STYLE,
    TEACHER_HEAD,
)
from embedonce.pipeline.commands.terminal import ErrorReportingGroup, build_config, show, usage_error
from embedonce.pipeline.console import standard_streams
from embedonce.pipeline.engines.registry import DEFAULT_ENGINE
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.settings.choices import ACTIVATIONS, DECODERS
from embedonce.pipeline.sources.folder.layouts import LAYOUTS

NOTHING_TO_READ = "nothing to read: name a folder of videos, or ask for synthetic ones, for example"
READABLE = (
    "  python cli.py extract-teacher --data-dir ego4d_data",
    "  python cli.py extract-teacher --use-synthetic --teacher-size demo",
)


@click.group(
    cls=ErrorReportingGroup,
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
    standard_streams.log_to_stderr()


@main.command()
@click.option("--data-dir", type=PATH, help="Folder of videos: any, or one in Ego4D's layout.")
@click.option("--use-synthetic", is_flag=True, help="Make labeled synthetic egocentric videos and use those.")
@click.option("--num-samples", type=int, default=480, show_default=True, help="Labeled clips of the synthetic data.")
@ANNOTATIONS
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="What the sub-folders of --data-dir are. [default: as they show; refused where that is not clear]",
)
@CLASS_NAMES
@CLASSES
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
@click.option(
    "--teacher-model", type=PATH_OR_NAME, help="Any open_clip model or registered teacher by name, or a JSON file."
)
@click.option("--teacher-module", type=PATH, help="Python file that registers a teacher of your own.")
@click.option(
    "--teacher-weights",
    type=PATH_OR_NAME,
    help="An open_clip tag, a local file, or `random`. [default: openai; the demo teacher's own come with it]",
)
@click.option(
    "--teacher-activation",
    type=click.Choice(ACTIVATIONS),
    help="What a local weights file was trained with (OpenAI's: quickgelu).",
)
@click.option(
    "--teacher-preprocess",
    metavar="TAG|VALUES",
    help="How images are prepared for local weights: as for one of the model's tags or MODEL:TAG, or values such as "
    f"'{PREPROCESS_EXAMPLE}'. [default: what all tags of the model agree on, or its configuration file says]",
)
@TEACHER_HEAD
@PROMPT_STYLE
@click.option("--label-set", help="Name of the label set. [default: the kind of annotations, or of --teacher-head]")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Images the teacher sees at once.")
@click.option("--shard-frames", type=int, default=512, show_default=True, help="Frames per shard, at most.")
@click.option("--canonical-short-side", type=int, help="Short side of stored frames. [default: by the teacher's input]")
@click.option("--jpeg-quality", type=int, default=90, show_default=True, help="Quality of stored frames.")
@click.option("--decode-workers", type=int, help="Decoding processes. [default: one less than there are cores]")
@click.option("--engine", default=DEFAULT_ENGINE, show_default=True, help="Engine that runs the decoding tasks.")
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
    config = build_config(ExtractConfig, options)
    if config.data_dir is None and not config.use_synthetic:
        raise usage_error(NOTHING_TO_READ, READABLE)
    if dry_run and config.use_synthetic:
        raise click.UsageError("--dry-run looks at videos, and synthetic ones are only made by the run: leave one out")
    from embedonce.pipeline.extraction import extract_teacher as stage_one

    if dry_run:
        show(stage_one.dry_run(config))
        return
    result = stage_one.run(config)
    show(result.summary(config))
    ctx.exit(result.extraction.exit_code)


for module in (annotations, caches, download_ego4d, export_student, students):
    for command in module.COMMANDS:
        main.add_command(command)


def run():
    """The program: main(), with signals handled until the process is gone."""
    standard_streams.open_standard_descriptors()
    interrupts.handle_until_exit()
    main()


if __name__ == "__main__":
    run()
