"""The label sets that extract-teacher is to write, from its settings, checked before any work."""

from collections.abc import Mapping

from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.prompts.prompt_files import PromptFile, read_prompts
from embedonce.pipeline.labeling.requests import (
    LabelSetRequest,
    check_requests,
    refuse_lost_classes,
    request_label_set,
)
from embedonce.pipeline.sources.settings import LabelingSettings
from embedonce.pipeline.sources.source import Source


def chosen_prompts(config: LabelingSettings) -> PromptFile | None:
    """The content of the file of --prompts; None if there is none."""
    return None if config.prompts is None else read_prompts(config.prompts)


def checked_requests(
    config: ExtractConfig, sources: Mapping[str, Source], prompts: PromptFile | None = None
) -> list[LabelSetRequest]:
    """One label set for each kind of annotation. InputError or LabelSetError if the cache cannot take one of them.

    sources: by kind of annotation, matched to the cache. prompts: chosen_prompts().
    """
    refuse_lost_classes(config.cache_dir, sources, config.label_set, config.teacher_head)
    choices = config.teacher_head, config.label_set, config.wording, config.store_logits, prompts
    requests = [request_label_set(source, kind, *choices) for kind, source in sources.items()]
    check_requests(config.cache_dir, requests)
    return requests
