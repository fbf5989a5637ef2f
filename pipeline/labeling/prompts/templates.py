"""Class prompts: the texts whose mean embedding is the zero-shot vector of a class.

In the style "english", the verbs, nouns and sentences that name Ego4D's classes become phrases. The names of users may
be any of these, so they follow a colon, unless their first word is a gerund.
"""

import re
from collections import Counter

from embedonce.models.names import ENGLISH_STYLE, V1_STYLE
from embedonce.pipeline.labeling.prompts.inflection import base_of_gerund, third_person
from embedonce.pipeline.labeling.prompts.label_phrases import Phrase, sentence_phrase
from embedonce.pipeline.labeling.prompts.noun_phrases import noun_phrases
from embedonce.pipeline.labeling.prompts.verb_phrases import verb_phrases
from embedonce.pipeline.naming.annotation_kinds import (
    ASSEMBLY_ACTIONS,
    ASSEMBLY_NOUNS,
    ASSEMBLY_VERBS,
    EGOEXO_ALL_KEYSTEPS,
    EGOEXO_KEYSTEPS,
    EGTEA_ACTIONS,
    EGTEA_NOUNS,
    EGTEA_VERBS,
    EPIC_NOUNS,
    EPIC_VERBS,
    HD_EPIC_NOUNS,
    HD_EPIC_VERBS,
)
from embedonce.pipeline.naming.class_names import words
from embedonce.pipeline.sources.ego4d.annotations.reader import ClassWords
from embedonce.pipeline.sources.ego4d.annotations.registry import kinds_named_by

# Kinds of annotations, by what their class names are
VERB_KINDS = (*kinds_named_by(ClassWords.VERBS), EPIC_VERBS, HD_EPIC_VERBS, EGTEA_VERBS, ASSEMBLY_VERBS)
NOUN_KINDS = (*kinds_named_by(ClassWords.NOUNS), EPIC_NOUNS, HD_EPIC_NOUNS, EGTEA_NOUNS, ASSEMBLY_NOUNS)
SENTENCE_KINDS = (
    *kinds_named_by(ClassWords.SENTENCES),
    *(EGOEXO_KEYSTEPS, EGOEXO_ALL_KEYSTEPS, EGTEA_ACTIONS, ASSEMBLY_ACTIONS),
)

ACTION_PROMPTS = (  # style v1, on which the demo teacher was trained
    "a first-person video frame of someone {name}",
    "an egocentric photo of a person {name}",
    "what I see while I {name}",
    "hands of a person who {name}, seen from a head-mounted camera",
    "a photo of the action: {name}",
)
OBJECT_PROMPTS = (
    "a first-person video frame of someone handling a {name}",
    "an egocentric photo of a {name} in use",
    "hands holding a {name}, seen from a head-mounted camera",
    "a {name} that is being moved or changed by a person",
    "a photo of a {name}",
)
ENGLISH_ACTION_PROMPTS = (
    "a first-person video frame of someone {gerund}",
    "an egocentric photo of a person {gerund}",
    "what I see while {gerund}",
    "the hands of a person who {third_person}, seen from a head-mounted camera",
    "a photo of someone {gerund}",
)
ENGLISH_OBJECT_PROMPTS = (
    "a first-person video frame of someone handling {noun}",
    "an egocentric photo of {noun}",
    "hands touching {noun}, seen from a head-mounted camera",
    "{noun} being moved or changed by a person",
    "a photo of {noun}",
)
NEUTRAL_PROMPTS = (
    "a first-person video frame: {name}",
    "an egocentric photo: {name}",
    "what I see through a head-mounted camera: {name}",
    "hands of a person, seen from a head-mounted camera: {name}",
    "a photo of the action: {name}",
)


def class_prompts(
    classes: tuple[str, ...], annotation: str = "", style: str = ENGLISH_STYLE
) -> tuple[tuple[str, ...], ...]:
    """The prompts of each class, at least one; their embeddings are averaged, as CLIP's authors do.

    Args:
        classes: class names; they are split into words, e.g. `ApplyEyeMakeup` into "apply eye makeup".
        annotation: the kind of annotation that the classes are from, one of `KIND_NAMES`; "" for folders and files.
        style: one of `models.names.PROMPT_STYLES`.
    """
    plain = plain_names(classes)
    if style == V1_STYLE:
        prompts = OBJECT_PROMPTS if annotation in NOUN_KINDS else ACTION_PROMPTS
        return tuple(tuple(prompt.format(name=text) for prompt in prompts) for text in plain)
    return tuple(_english(name, text, annotation) for name, text in zip(classes, plain, strict=True))


def plain_names(classes: tuple[str, ...]) -> list[str]:
    """Class names as words, without the parts in parentheses unless two classes would then have the same name."""
    bare = [words(re.sub(r"\([^)]*\)", " ", name)) for name in classes]
    counts = Counter(bare)
    return [text if text and counts[text] == 1 else words(name) for text, name in zip(bare, classes, strict=True)]


def _english(name: str, text: str, annotation: str) -> tuple[str, ...]:
    if annotation in NOUN_KINDS:
        prompts = tuple(prompt.format(noun=noun) for noun in noun_phrases(name) for prompt in ENGLISH_OBJECT_PROMPTS)
    else:
        prompts = tuple(
            prompt.format(gerund=phrase.gerund, third_person=phrase.third_person)
            for phrase in _phrases(name, text, annotation)
            for prompt in ENGLISH_ACTION_PROMPTS
        )
    return prompts or tuple(prompt.format(name=text) for prompt in NEUTRAL_PROMPTS)


def _phrases(name: str, text: str, annotation: str) -> tuple[Phrase, ...]:
    phrases = verb_phrases(name) if annotation in VERB_KINDS else ()
    if annotation in SENTENCE_KINDS:
        phrases = tuple(filter(None, (sentence_phrase(name),)))
    return phrases or _gerund_phrase(text)


def _gerund_phrase(text: str) -> tuple[Phrase, ...]:
    first, _, rest = text.partition(" ")
    base = base_of_gerund(first)
    return (Phrase(text, f"{third_person(base)} {rest}".strip()),) if base else ()
