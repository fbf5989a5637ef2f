"""The command that takes a student out of the house. Click only: parse, make one call, say what came of it."""

from pathlib import Path

import click

from embedonce.pipeline.commands.common_options import CACHE_DIR, CONFIG, LABEL_SET, PATH, STUDENT_CHECKPOINT
from embedonce.pipeline.commands.terminal import build_config, echo
from embedonce.pipeline.export.registry import format_names
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.settings.choices import SPLITS


@click.command()
@CACHE_DIR
@STUDENT_CHECKPOINT
@click.option(
    "--output-dir", type=PATH, default=Path("results/export"), show_default=True, help="Folder of the export."
)
@LABEL_SET
@click.option(
    "--formats",
    default="fp32,fp16,int8",
    show_default=True,
    help=f"Of {', '.join(format_names())}, with commas between; the first three are ONNX.",
)
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Clips to compare on.")
@click.option("--num-samples", type=int, default=256, show_default=True, help="Clips to compare on, at most.")
@click.option(
    "--calibration-frames", type=int, default=256, show_default=True, help="Training frames that int8 is fitted to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of clips.")
@click.option("--overwrite", is_flag=True, help="Put this export in the place of one that is there.")
@CONFIG
def export_student(**options):
    """Export a student for devices: ONNX, ExecuTorch, safetensors.

    Every file is run at once on frames of the cache and compared with PyTorch; where one says something else,
    nothing is written.
    """
    config = build_config(ExportConfig, options)
    from embedonce.pipeline.export.export import export

    result = export(config)
    echo("format      agreement  cosine   largest difference  top-1")
    for name, found in result.parity.items():
        agreement, top1 = (("-" if v is None else f"{100 * v:.1f} %") for v in (found.agreement, found.top1))
        echo(f"{name:10}  {agreement:>9}  {found.cosine:.5f}  {found.max_difference:>18.1e}  {top1}")
    for name, size in result.num_bytes.items():
        echo(f"{size / 1e6:8.2f} MB  {result.folder / name}")
    echo(f"read {result.folder / 'README.md'}: the model card, and how to run it")


COMMANDS = (export_student,)
