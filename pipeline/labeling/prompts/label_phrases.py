"""Turns labels that are imperative sentences, such as those of Ego4D Moments, into English phrases.

`"cut_/_trim_grass_(e.g._with_shears)"` -> "cutting or trimming grass, for example with shears". Pure functions of text.
"""

import re
from dataclasses import dataclass

from embedonce.pipeline.labeling.prompts.inflection import gerund, is_verb, third_person
from embedonce.pipeline.labeling.prompts.label_wordings import LABELS
from embedonce.pipeline.labeling.prompts.verb_wordings import PARTICLES, PREPOSITIONS, UNMISTAKABLE

_QUOTES = re.compile(r"[\"“”„«»`]|(?<!\w)['‘’]|['‘’](?!\w)")
_FOR_EXAMPLE = r"(?:e\.?\s?g\b\.?|for example|such as|like),?\s*"
_EXAMPLES = re.compile(rf"\(\s*{_FOR_EXAMPLE}([^()]*)\)", re.IGNORECASE)
_OPEN_LIST = re.compile(r"\(([^()]*?),?\s*\betc\b\.?\s*\)", re.IGNORECASE)
_BARE_EXAMPLES = re.compile(r"\be\.?g\.,?\s*", re.IGNORECASE)
_LAST_OF_LIST = re.compile(r",\s*([^,/()]+?),?\s*\betc\b\.?", re.IGNORECASE)
_ET_CETERA = re.compile(r"[\s,/]*\betc\b\.?", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s+(or|and|/)\s+")
_VERBS_WITH_COMMAS = re.compile(r"^([a-z]+(?:, [a-z]+)*),? (or|and) (?=[a-z]+ )")
_HYPHENATED = re.compile(rf"\b(\w+)-({'|'.join(sorted(PARTICLES))})\b")


@dataclass(frozen=True)
class Phrase:
    """An action as a gerund, for "a person cutting bread", and in the third person, for "a person who cuts bread"."""

    gerund: str
    third_person: str


@dataclass(frozen=True)
class _Segment:
    """A part of a label between `or`, `and` and slashes. conjunction: the one before it."""

    text: str
    conjunction: str
    begins_with_verb: bool = False


def plain_text(label: str) -> str:
    """A label in lower case as separate words, without quotes, parentheses and "etc."; examples become "such as …"."""
    text = " ".join(_QUOTES.sub("", label.replace("_", " ")).lower().split())
    text = LABELS.get(text, text)
    text = _EXAMPLES.sub(lambda match: _examples(match[1]), text)
    text = _OPEN_LIST.sub(lambda match: _examples(match[1]), text)
    text = _BARE_EXAMPLES.sub("such as ", re.sub(r"[()]", " ", text))
    text = _ET_CETERA.sub("", _LAST_OF_LIST.sub(r" or \1", text))
    text = re.sub(r"\s*/\s*", " / ", text.replace("&", " and ")).strip(" /,.;")
    text = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))
    text = _VERBS_WITH_COMMAS.sub(lambda match: f" {match[2]} ".join([*match[1].split(", "), ""]), text)
    return _HYPHENATED.sub(r"\1 \2", text)


def sentence_phrase(label: str) -> Phrase | None:
    """The phrase of a label that begins with a verb; None for other labels."""
    segments = _segments(plain_text(label))
    if not segments[0].begins_with_verb:
        return None
    return Phrase(_joined(segments, gerund), _joined(segments, third_person))


def one_of(words: list[str], conjunction: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}" if len(words) > 1 else "".join(words)


def _examples(listed: str) -> str:
    """` such as a, b or c`; `, for example with scissors`."""
    text = one_of(
        [part.strip() for part in re.split(r",\s*(?:or\s+|and\s+)?|/", _ET_CETERA.sub("", listed)) if part.strip()]
    )
    if text.split(" ", 1)[0] in PREPOSITIONS:
        return f", for example {text}"
    return f" such as {text}" if text else ""


def _segments(text: str) -> list[_Segment]:
    first, *others = _SEPARATOR.split(text)
    segments = [_Segment(first, "", bool(first) and _is_base_verb(first.split()[0]))]
    all_bare = segments[0].begins_with_verb and _is_bare_verb(first)
    for separator, part in zip(others[::2], others[1::2], strict=True):
        is_verbal = _begins_with_verb(part.split(), all_bare, first.split()[0])
        segments.append(_Segment(part, "and" if separator == "and" else "or", is_verbal))
        all_bare = all_bare and (not is_verbal or _is_bare_verb(part))
    return segments


def _begins_with_verb(words: list[str], after_bare_verbs: bool, first_verb: str) -> bool:
    """Whether a segment is another action ("clean or wipe a table") rather than an object ("use a laptop or tablet").

    after_bare_verbs: all segments before it are verbs without an object.
    """
    word = words[0].strip(",")
    if word in PREPOSITIONS or word in PARTICLES:
        return False
    if after_bare_verbs:
        return _is_base_verb(word)
    has_object = len(words) > 1 and words[1] not in PREPOSITIONS
    return has_object and (word == first_verb or word in UNMISTAKABLE)


def _is_bare_verb(text: str) -> bool:
    words = text.split()
    return len(words) == 1 or (len(words) == 2 and words[1] in PARTICLES)


def _is_base_verb(word: str) -> bool:
    return word in UNMISTAKABLE or (word.isalpha() and is_verb(word))


def _joined(segments: list[_Segment], inflect) -> str:
    text = ""
    for i, segment in enumerate(segments):
        words = segment.text.split()
        if segment.begins_with_verb:
            words[0] = inflect(words[0])
        separator = f" {segment.conjunction} " if i else ""
        if i and _is_in_a_list(segments, i):
            separator = ", "
        text += separator + " ".join(words)
    return text


def _is_in_a_list(segments: list[_Segment], i: int) -> bool:
    """Whether segment i is in the middle of a list such as `a, b or c`."""
    if i + 1 >= len(segments):
        return False
    this, following = segments[i], segments[i + 1]
    is_short = not any(word in PREPOSITIONS for word in this.text.split())
    is_alike = this.begins_with_verb == following.begins_with_verb and this.conjunction == following.conjunction
    return is_short and is_alike and (_is_bare_verb(this.text) or not this.begins_with_verb)
