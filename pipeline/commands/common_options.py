"""The options that several commands share."""

import math
import os
import stat
from pathlib import Path

import click

from embedonce.models.names import PROMPT_STYLES, TEACHER_SIZES
from embedonce.pipeline.commands.terminal import belongs_to_extraction, options, read_config_file
from embedonce.pipeline.naming.annotation_kinds import FHO_WINDOWS, MAX_NARRATION_WINDOW
from embedonce.pipeline.settings.choices import DEVICES, TEACHER_HEADS
from embedonce.pipeline.settings.paths import expand
from embedonce.pipeline.settings.ranges import MAX_SEED
from embedonce.pipeline.sources.ego4d.annotations.registry import KIND_NAMES


class LocalPath(click.Path):
    """A local path, with `~` and variables expanded; URLs, pipes and devices are refused.

    Every option that takes a path has this type.
    """

    def convert(self, value, param, ctx):
        path = expanded(self, value, param, ctx)
        refuse_special(self, path, param, ctx)
        return super().convert(path, param, ctx)


class LocalPathOrName(click.ParamType):
    """Text that may be a local path: such a path as LocalPath has it, anything else as it is."""

    name = "text"

    def convert(self, value, param, ctx):
        text = expanded(self, value, param, ctx)
        refuse_special(self, text, param, ctx)
        return text


class FiniteRange(click.FloatRange):
    """A number in a range; NaN, which no comparison finds outside of one, is refused."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def refuse_special(kind: click.ParamType, path, param, ctx) -> None:
    """Click's error for what is neither a file nor a folder: reading a pipe or a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whether it must exist is not asked here
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind.fail(f"{str(path)!r} is a pipe, a socket or a device, not a file or a folder", param, ctx)


def expanded(kind: click.ParamType, value, param, ctx):
    """The value with `~` and variables expanded, or click's error."""
    try:
        return value if isinstance(value, Path) else expand(str(value))
    except ValueError as error:
        return kind.fail(str(error), param, ctx)


SEED = click.IntRange(0, MAX_SEED)
PATH = LocalPath(path_type=Path)
PATH_OR_NAME = LocalPathOrName()
CACHE_DIR = click.option(
    "--cache-dir", type=PATH, default=Path("results/teacher_cache"), show_default=True, help="Folder of the cache."
)
FILE = LocalPath(path_type=Path, exists=True, dir_okay=False)
CLASSES = click.option(
    "--classes",
    type=FILE,
    help="File of class names for zero-shot logits over any videos: one a line, CSV, TSV or JSON.",
)
CLASS_NAMES = click.option(
    "--class-names", type=FILE, help="CSV or JSON file of readable class names: `folder,name` for every class."
)
ANNOTATIONS = options(
    click.option("--annotations", metavar="KINDS", help=f"Of Ego4D, with commas between: {', '.join(KIND_NAMES)}."),
    click.option("--skip-invalid", is_flag=True, help="Accepted and without effect: odd entries are left out anyway."),
    click.option("--strict", is_flag=True, help="Make errors of the notes on odd entries of annotations."),
    click.option(
        "--fho-window",
        type=click.Choice(FHO_WINDOWS),
        default="action",
        show_default=True,
        help="An action of FHO: all of it, or from its pre frame to its post frame.",
    ),
    click.option(
        "--max-narration-window",
        type=float,
        default=MAX_NARRATION_WINDOW,
        show_default=True,
        metavar="SEC",
        help="Longest window around a narration, in seconds.",
    ),
    click.option("--clip-splits", is_flag=True, help="Keep the splits of clips, where they put a video into two."),
    click.option("--num-actions", type=int, help="Number of classes: the most frequent ones. [default: all]"),
)
WORKERS = min(8, max(1, (os.cpu_count() or 2) // 2))  # loader processes: decoding needs little beside training
CONFIG = click.option(
    "--config",
    type=FILE,
    is_eager=True,
    expose_value=False,
    callback=read_config_file,
    help="YAML file of defaults for this command's options, such as one a run saved.",
)
COMMON = options(
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to compute."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random."),
    CONFIG,
)
STUDENT_CHECKPOINT = click.option(
    "--student-checkpoint", type=PATH, default=Path("results/best_student.pt"), show_default=True, help="The student."
)
OUTPUT_DIR = click.option(
    "--output-dir", type=PATH, default=Path("results"), show_default=True, help="Folder for what this command makes."
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace files that this command did not make, or made of something else."
)
LABEL_SET = click.option("--label-set", help="Label set of the cache to use. [default: the only one]")
ASSERTIONS = options(
    click.option("--teacher-size", type=click.Choice(TEACHER_SIZES), help="Assert which teacher made the cache."),
    click.option("--num-actions", type=int, help="Assert how many classes the label set has."),
    click.option("--data-dir", hidden=True, expose_value=False, callback=belongs_to_extraction),
    click.option("--use-synthetic", is_flag=True, hidden=True, expose_value=False, callback=belongs_to_extraction),
)
TEACHER_HEAD = click.option(
    "--teacher-head",
    type=click.Choice(TEACHER_HEADS),
    default="zero-shot",
    show_default=True,
    help="Soft logits: from class prompts, from an action head fitted to the labels, or none.",
)
PROMPT_STYLE = click.option(
    "--prompt-style",
    type=click.Choice(PROMPT_STYLES),
    help="Wording of class prompts. [default: english; v1 for the demo teacher, which was trained on it]",
)
