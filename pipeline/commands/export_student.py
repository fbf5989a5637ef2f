"""The command export-student: export a student to ONNX, ExecuTorch, Core ML, safetensors and a web page."""

from typing import Any

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.export.settings import ExportConfig


@command("export-student", settings=ExportConfig)
def export_student(**options: Any) -> None:
    """Export a student for deployment: ONNX, ExecuTorch, Core ML, safetensors, a web page.

    Every exported file is run on frames of the cache and compared with PyTorch. If any format fails its parity check,
    nothing is exported.
    """
    config = build_config(ExportConfig, options)
    from embedonce.pipeline.export.export import export

    result = export(config)
    echo("format      agreement  cosine   largest difference  top-1")
    for name, parity in result.parity.items():
        agreement, top1 = (("-" if v is None else f"{100 * v:.1f} %") for v in (parity.agreement, parity.top1))
        remark = f"  (evaluated by {parity.evaluated_by})" if parity.evaluated_by else ""
        echo(f"{name:10}  {agreement:>9}  {parity.cosine:.5f}  {parity.max_difference:>18.1e}  {top1}{remark}")
    for name, size in _by_folder(result.num_bytes).items():
        echo(f"{size / 1e6:8.2f} MB  {result.folder / name}")
    echo(f"model card, with usage: {result.folder / 'README.md'}")
    for line in result.next_steps:
        echo(line)


def _by_folder(num_bytes: dict[str, int]) -> dict[str, int]:
    """Bytes of files, with those in a folder summed up under its name."""
    sums: dict[str, int] = {}
    for name, size in num_bytes.items():
        first = name.partition("/")[0]
        sums[first] = sums.get(first, 0) + size
    return sums
