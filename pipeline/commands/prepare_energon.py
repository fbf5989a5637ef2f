"""The command prepare-energon: metadata with which Megatron-Energon reads a cache."""

from pathlib import Path

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import LABELS, OUTPUT, Option

OUTPUT_DIR = Option(
    name="output_dir",
    value_type=Path,
    help="Folder to create, with links to the shards and the folder .nv-meta.",
    group=OUTPUT,
    is_required=True,
)
LABEL_SET = Option(
    name="label_set",
    help="Label set whose splits are used.",
    group=LABELS,
    default_text="none: all frames are train",
)


@command("prepare-energon", shared.CACHE_DIR.named("cache_dir", Path), LABEL_SET, OUTPUT_DIR)
def prepare_energon(cache_dir: Path | str, label_set: str | None, output_dir: Path) -> None:
    """Make a WebDataset cache readable by Megatron-Energon, without copying it."""
    from embedonce.pipeline.energon.folder import prepare

    made = prepare(cache_dir, output_dir, label_set)
    shards = ", ".join(f"{count} {split}" for split, count in made.shards.items())
    echo(f"{made.path}: {sum(made.shards.values())} shards ({shards}), {made.num_rows} frames")
    if made.num_excluded:
        why = "their video is in another split than most of the shard, or in none"
        echo(f"{made.num_excluded} frames are excluded: {why}")
