"""The label sets that extract-teacher is to write, from its settings, checked before any work."""

import logging
from collections.abc import Mapping

from embedonce.cache.labels import NO_LOGITS, ZERO_SHOT
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.prompts.prompt_files import PromptFile, read_prompts
from embedonce.pipeline.labeling.requests import (
    LabelSetRequest,
    check_requests,
    chosen_head,
    possible_head,
    refuse_lost_classes,
    request_label_set,
)
from embedonce.pipeline.labeling.text_targets import with_texts
from embedonce.pipeline.sources.settings import LabelingSettings
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.teachers.registry import loader_of

log = logging.getLogger(__name__)


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
    choices = config.label_set, config.wording, config.store_logits, prompts
    requests = [
        request_label_set(source, kind, _head(config, source, prompts), *choices) for kind, source in sources.items()
    ]
    if config.embed_texts:
        requests = with_texts(requests, config.model)
    check_requests(config.cache_dir, requests)
    return requests


def _head(config: ExtractConfig, source: Source, prompts: PromptFile | None) -> str | None:
    """The chosen kind of logits, or the only possible one; None if only the teacher can tell."""
    has_text_tower, head = loader_of(config.model).has_text_tower, chosen_head(config.teacher_head, prompts)
    if config.part is None or head is not None:
        return possible_head(head, config.model, source)
    if not has_text_tower:
        log.info(
            "%s has no text tower: when all parts have ended, relabel --teacher-head fitted adds logits", config.model
        )
    return ZERO_SHOT if has_text_tower else NO_LOGITS  # parts cannot fit a head
