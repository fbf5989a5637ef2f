"""export(): the command export-student as a function."""

from typing import Unpack

from embedonce.pipeline.api.keywords import settings_from
from embedonce.pipeline.api.option_types import ExportOptions
from embedonce.pipeline.api.progress_events import OnProgress, reported_to
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.api.results import Export
from embedonce.pipeline.api.signatures import takes_options_of
from embedonce.pipeline.export.settings import ExportConfig


@takes_options_of(ExportConfig)
def export(*, on_progress: OnProgress | None = None, **options: Unpack[ExportOptions]) -> Export:
    """Export a student for deployment: to ONNX, ExecuTorch and safetensors, with a model card.

    Every exported file is run on frames of the cache and compared with PyTorch; if one differs, nothing is exported.

    Raises TypeError and ValueError for wrong arguments, PipelineError for what makes the export impossible, CacheError
    for a cache that cannot be used.
    """
    config = settings_from(ExportConfig, "export", options)
    from embedonce.pipeline.export import export as exporting

    with in_python_terms(ExportConfig.options()), reported_to(on_progress):
        result = exporting.export(config)
    files = {name: result.folder / name for name in result.num_bytes}
    return Export(result.folder, files, dict(result.num_bytes), dict(result.parity))
