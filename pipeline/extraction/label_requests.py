"""The label sets that extract-teacher is to write, from its settings, checked before any work."""

from collections.abc import Mapping

from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.requests import (
    LabelSetRequest,
    check_requests,
    refuse_lost_classes,
    request_label_set,
)
from embedonce.pipeline.sources.source import Source


def checked_requests(config: ExtractConfig, sources: Mapping[str, Source]) -> list[LabelSetRequest]:
    """One label set for each kind of annotation. InputError or LabelSetError if the cache cannot take one of them.

    sources: by kind of annotation, matched to the cache.
    """
    refuse_lost_classes(config.cache_dir, sources, config.label_set, config.teacher_head)
    choices = config.teacher_head, config.label_set, config.wording, config.store_logits
    requests = [request_label_set(source, kind, *choices) for kind, source in sources.items()]
    check_requests(config.cache_dir, requests)
    return requests
