"""Requests for label sets: what options ask for, checked before any work."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.cache.errors import LabelSetError
from embedonce.cache.labels import FITTED, NO_LOGITS, ZERO_SHOT, LabelSet, check_same
from embedonce.cache.store import has_cache, open_reader
from embedonce.models.names import ENGLISH_STYLE
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.class_checks import check_classes
from embedonce.pipeline.labeling.clip_index import revision_of
from embedonce.pipeline.labeling.prompts.class_prompts import (
    ClassPrompts,
    prompts_of_file,
    prompts_of_style,
    prompts_sha256,
)
from embedonce.pipeline.labeling.prompts.prompt_files import PromptFile
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.teachers.registry import loader_of

log = logging.getLogger(__name__)

MAX_STORED_CLASSES = 64  # logits of more classes are computed when they are read, unless the user wants them stored


@dataclass(frozen=True)
class LabelSetRequest:
    """A label set to be written over the clips of a source.

    tensors: safetensors bytes that zero-shot logits are computed from; None for a head that is fitted to the cache,
    and without logits. store_logits: the user's choice; None to keep that of an existing label set. is_head_chosen:
    whether the user chose the kind of logits. embeds_texts: whether the texts of clips are embedded, too.
    """

    source: Source
    labels: LabelSet
    tensors: bytes | None = None
    store_logits: bool | None = None
    is_head_chosen: bool = True
    embeds_texts: bool = False


def request_label_set(
    source: Source,
    annotation: str,
    head: str | None,
    name: str | None = None,
    prompt_style: str = ENGLISH_STYLE,
    store_logits: bool | None = None,
    prompts: PromptFile | None = None,
) -> LabelSetRequest:
    """The label set for these options, as far as it is known before a teacher is loaded.

    Args:
        source: clips and class names.
        annotation: the kind of annotation, one of KIND_NAMES; "" for folders and class lists.
        head: one of TEACHER_HEADS; None: zero-shot, unless the teacher turns out to have no text tower.
        name: of the label set; by default `annotation`, or `head` if that is empty.
        prompt_style: one of PROMPT_STYLES.
        store_logits: by default they are stored for up to MAX_STORED_CLASSES classes.
        prompts: the content of the file of --prompts, if there is one; used instead of prompt_style.

    Raises InputError if the head is impossible, if class names are duplicates or cannot be understood, or if the file
    lacks prompts of a class.
    """
    kind = _effective_head(head or ZERO_SHOT, source)
    facts = {"annotations": annotation} if annotation else {}
    texts: tuple[tuple[str, ...], ...] = ()
    if kind == ZERO_SHOT:
        chosen = _prompts(source, annotation, prompt_style, prompts)
        texts = chosen.texts
        check_classes(source, texts, chosen.named)
        facts |= {"prompts_from": chosen.source, "prompts_sha256": prompts_sha256(source.classes, texts)}
    else:
        if prompts is not None:
            raise InputError(f"{prompts.name}: --prompts needs classes, and the data has none: give --classes FILE")
        check_classes(source, ())
    labels = LabelSet(
        name or annotation or kind, kind, source.classes, texts, None, facts, multi_label=source.is_multi_label
    )
    stores = len(source.classes) <= MAX_STORED_CLASSES if store_logits is None else store_logits
    labels = replace(labels, stores_logits=stores or kind == NO_LOGITS)
    return LabelSetRequest(
        source, labels, store_logits=store_logits, is_head_chosen=chosen_head(head, prompts) is not None
    )


def chosen_head(head: str | None, prompts: PromptFile | None) -> str | None:
    """The kind of logits that the user's options choose, if any: prompts are for zero-shot logits."""
    return ZERO_SHOT if head is None and prompts is not None else head


def possible_head(head: str | None, teacher: str, source: Source) -> str | None:
    """The chosen kind of logits, or the only possible one; None if only the loaded teacher can tell.

    teacher: its name. InputError for zero-shot logits if it is known to have no text tower.
    """
    if loader_of(teacher).has_text_tower:
        return head
    if head == ZERO_SHOT:
        raise lacks_text_tower(teacher)
    return head or head_without_text_tower(teacher, source)


def lacks_text_tower(teacher: str) -> InputError:
    """The error for zero-shot logits that were chosen for such a teacher."""
    return InputError(
        f"the teacher {teacher} has no text tower, which zero-shot logits need: use --teacher-head fitted or "
        "--teacher-head none"
    )


def head_without_text_tower(teacher: str, source: Source) -> str:
    """The kind of logits of a teacher without a text tower where the user chose none, which the log says.

    teacher: its name.
    """
    if not source.classes:
        return NO_LOGITS
    reason = f"the teacher {teacher} has no text tower"
    if not any(clip.all_labels for clip in source.clips):
        log.warning("%s, and no clip has a label to fit a head to: embeddings only, no soft logits", reason)
        return NO_LOGITS
    log.info("%s: soft logits come from a head that is fitted to the labels (--teacher-head fitted)", reason)
    return FITTED


def _prompts(source: Source, annotation: str, style: str, file: PromptFile | None) -> ClassPrompts:
    if file is None:
        return prompts_of_style(source.classes, annotation, style)
    prompts = prompts_of_file(source.classes, file)
    for note in prompts.notes:
        log.info("%s", note)
    return prompts


def check_requests(cache_dir: Path | str, requests: list[LabelSetRequest]) -> None:
    """Raise LabelSetError if the cache has a different label set of the same name, or one whose logits are stored
    although they should not be, or the other way round. Sources are matched to the cache."""
    if not has_cache(cache_dir):
        return
    reader = open_reader(cache_dir)
    plan, names = reader.plan(), reader.label_sets()
    for request in requests:
        if request.labels.name in names:
            stored = reader.label_set(request.labels.name)
            check_same(request.labels, stored)
            _check_storage(request, stored)
            revision_of(reader, plan, request.source, request.labels)


def _check_storage(request: LabelSetRequest, stored: LabelSet) -> None:
    if not stored.has_logits or request.store_logits in (None, stored.stores_logits):
        return
    given, state = ("--store-logits", "does not store") if request.store_logits else ("--no-store-logits", "stores")
    raise LabelSetError(
        f"label set {stored.name!r} of this cache {state} its logits, which cannot be changed: leave out {given}, or "
        "name a new label set with --label-set"
    )


def refuse_lost_classes(
    cache_dir: Path | str, sources: Mapping[str, Source], label_set: str | None, teacher_head: str | None
) -> None:
    """Raise InputError if the cache has classes and the data has none any more, most likely because of a stray file.

    A second label set without classes would force every later command to name the one to use. Passes if the user
    chose `label_set` or no logits.
    """
    is_intended = label_set or teacher_head == NO_LOGITS
    if is_intended or any(source.classes for source in sources.values()) or not has_cache(cache_dir):
        return
    reader = open_reader(cache_dir)
    labeled = [name for name in reader.label_sets() if reader.label_set(name).classes]
    if labeled:
        reasons = [source.no_classes_reason for source in sources.values() if source.no_classes_reason]
        raise InputError(
            f"{cache_dir} has label set {labeled[0]!r} with classes, but the data has no classes now "
            f"({reasons[0] if reasons else 'no classes'}); put the videos into folders of their classes, or name "
            "another label set with --label-set"
        )


def _effective_head(head: str, source: Source) -> str:
    if head == NO_LOGITS:
        return head
    if not source.classes:
        log.warning("the data has no classes: embeddings only, no soft logits (name classes with --classes FILE)")
        return NO_LOGITS
    if head == FITTED and not any(clip.all_labels for clip in source.clips):
        raise InputError("--teacher-head fitted needs labeled clips and the data has none; use zero-shot")
    return head
