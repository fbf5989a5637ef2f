"""The commands about annotations: plan-ego4d and relabel.

Click only: parse, make one call, say what came of it.
"""

import json
from functools import partial
from pathlib import Path

import click

from embedonce.pipeline.commands.common_options import (
    ANNOTATIONS,
    CACHE_DIR,
    CLASS_NAMES,
    CLASSES,
    CONFIG,
    PATH,
    PATH_OR_NAME,
    PROMPT_STYLE,
    TEACHER_HEAD,
)
from embedonce.pipeline.commands.terminal import build_config, echo, show
from embedonce.pipeline.extraction.settings import PlanConfig
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.settings.choices import ACTIVATIONS, DEVICES


@click.command("plan-ego4d")
@click.option("--data-dir", type=PATH, required=True, help="Folder of the download, with ego4d.json.")
@ANNOTATIONS
@click.option("--fps", type=float, default=2.0, show_default=True, help="Frames taken per second of video.")
@click.option("--views", type=int, default=0, show_default=True, help="Stored random views per video, besides view 0.")
@click.option("--assume-downloaded", is_flag=True, help="Plan as if the listed videos were on disk.")
@click.option("--num-videos", type=int, help="With --assume-downloaded: those that download-ego4d takes.")
@click.option("--json", "output", type=PATH, help="Write all counts into this file, too.")
@click.option("--overwrite", is_flag=True, help="Put the counts in the place of any other file.")
@CONFIG
def plan_ego4d(output: Path | None, overwrite: bool, **settings):
    """Say what an Ego4D download offers and what extracting it takes.

    Reads annotations and headers: videos present, missing, redacted, stereo, shorter than listed; clips per class and
    split; frames and space. All kinds of annotations that are there, unless some are named.
    """
    config = build_config(PlanConfig, settings)
    from embedonce.pipeline.extraction.plan_ego4d import plan

    if output is not None:
        _check_counts(output, overwrite)
    planned = plan(config)
    for line in planned.lines:
        echo(line)
    if output is not None:
        from embedonce.cache import commit

        _check_counts(output, overwrite)  # nobody has put anything there meanwhile
        commit.replace(output, json.dumps(planned.document, indent=1).encode())
        echo(f"counts: {output}")


def _check_counts(output: Path, overwrite: bool) -> None:
    """InputError where the file is there and holds no counts of plan-ego4d."""
    from embedonce.pipeline.files.output_folder import check_replaceable
    from embedonce.pipeline.files.recognition import is_object

    is_ours = partial(is_object, keys=("kinds", "videos", "fps", "views", "frames", "bytes", "short"))
    check_replaceable({output: is_ours}, overwrite, "plan-ego4d", "--json")


@click.command()
@CACHE_DIR
@click.option("--data-dir", type=PATH, help="Folder of the annotations, with ego4d.json; videos need not be there.")
@ANNOTATIONS
@CLASS_NAMES
@CLASSES
@click.option("--clips-from", help="Without --annotations: the label set whose clips to take. [default: the only one]")
@TEACHER_HEAD
@PROMPT_STYLE
@click.option("--label-set", help="Name of the label set. [default: the kind of annotations, or the name of FILE]")
@click.option(
    "--teacher-weights", type=PATH_OR_NAME, help="The cached teacher's. [default: those that the cache names]"
)
@click.option("--teacher-model", type=PATH_OR_NAME, help="The cached teacher's configuration file, where it had one.")
@click.option("--teacher-module", type=PATH, help="Python file that registers the cached teacher, where it had one.")
@click.option("--teacher-activation", type=click.Choice(ACTIVATIONS), help="Of local weights.")
@click.option("--teacher-preprocess", help="Of local weights. [default: as the cache says]")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to compute.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of a fitted head; of random weights.")
@CONFIG
def relabel(**settings):
    """Add a label set to a cache: no video, no image through CLIP.

    Logits come from the cached embeddings, by the teacher's text tower or by a fitted head.
    """
    config = build_config(RelabelConfig, settings)
    from embedonce.pipeline.extraction import extract_teacher

    show(extract_teacher.relabel(config).summary)


COMMANDS = (plan_ego4d, relabel)
