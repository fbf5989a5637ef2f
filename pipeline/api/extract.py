"""extract(): the command extract-teacher as a function."""

from typing import Unpack

from embedonce.pipeline.api.keywords import settings_from
from embedonce.pipeline.api.option_types import ExtractOptions
from embedonce.pipeline.api.progress_events import OnProgress, reported_to
from embedonce.pipeline.api.python_terms import in_python_terms
from embedonce.pipeline.api.results import Extraction
from embedonce.pipeline.api.signatures import takes_options_of
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.settings import ExtractConfig


@takes_options_of(ExtractConfig)
def extract(*, on_progress: OnProgress | None = None, **options: Unpack[ExtractOptions]) -> Extraction:
    """Embed every frame of videos once, into a cache.

    A run that was stopped continues; videos added since then are added to the cache. Videos that cannot be used are
    quarantined, with the reason. on_progress: called with a ProgressEvent at each step; an error that it raises ends
    the run.

    Raises TypeError and ValueError for wrong arguments, PipelineError for what makes the run impossible, CacheError
    for a cache that cannot be used, ModelError for a teacher that cannot be loaded.
    """
    config = settings_from(ExtractConfig, "extract", options)
    if config.data_dir is None and config.manifest is None and not config.use_synthetic:
        raise InputError(
            "no input: give data_dir (a folder of videos), manifest (a table of clips) or use_synthetic=True"
        )
    from embedonce.pipeline.extraction import extract_teacher

    with in_python_terms(ExtractConfig.options()), reported_to(on_progress):
        result = extract_teacher.run(config)
    counts = result.extraction
    return Extraction(
        cache_dir=config.cache_dir,
        listed=counts.listed,
        committed=counts.committed,
        pending=counts.pending,
        withdrawn=counts.withdrawn,
        quarantined=dict(counts.quarantined),
        frames=counts.rows,
        times=dict(counts.statuses),
        label_sets=tuple(labels.name for labels in result.label_sets),
    )
