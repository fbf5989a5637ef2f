"""Labels that are sentences in the imperative, such as those of Ego4D's Moments, as phrases of English.

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
_HYPHENED = re.compile(rf"\b(\w+)-({'|'.join(sorted(PARTICLES))})\b")


@dataclass(frozen=True)
class Phrase:
    """An action in two forms: gerund, for "a person …", and third person, for "a person who …"."""

    gerund: str
    third_person: str


@dataclass(frozen=True)
class _Segment:
    """A part of a label between `or`, `and` and slashes. joint: the word before it."""

    text: str
    joint: str
    begins_with_verb: bool = False


def plain_text(label: str) -> str:
    """A label in lower case, with its words apart and without quotes, examples in parentheses, and "etc."."""
    text = " ".join(_QUOTES.sub("", label.replace("_", " ")).lower().split())
    text = LABELS.get(text, text)
    text = _EXAMPLES.sub(lambda found: _examples(found[1]), text)
    text = _OPEN_LIST.sub(lambda found: _examples(found[1]), text)
    text = _BARE_EXAMPLES.sub("such as ", re.sub(r"[()]", " ", text))
    text = _ET_CETERA.sub("", _LAST_OF_LIST.sub(r" or \1", text))
    text = re.sub(r"\s*/\s*", " / ", text.replace("&", " and ")).strip(" /,.;")
    text = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))
    text = _VERBS_WITH_COMMAS.sub(lambda found: f" {found[2]} ".join([*found[1].split(", "), ""]), text)
    return _HYPHENED.sub(r"\1 \2", text)


def sentence_phrase(label: str) -> Phrase | None:
    """The forms of a label that begins with a verb; None for one that does not."""
    segments = _segments(plain_text(label))
    if not segments[0].begins_with_verb:
        return None
    return Phrase(_joined(segments, gerund), _joined(segments, third_person))


def one_of(words: list[str], joint: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f"{', '.join(words[:-1])} {joint} {words[-1]}" if len(words) > 1 else "".join(words)


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
    for joint, part in zip(others[::2], others[1::2], strict=True):
        is_verbal = _begins_with_verb(part.split(), all_bare, first.split()[0])
        segments.append(_Segment(part, "and" if joint == "and" else "or", is_verbal))
        all_bare = all_bare and (not is_verbal or _is_bare_verb(part))
    return segments


def _begins_with_verb(words: list[str], after_bare_verbs: bool, first_verb: str) -> bool:
    """Whether a segment is another action ("clean or wipe a table") and not another object ("use a laptop or tablet").

    after_bare_verbs: no verb has had an object yet.
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
        joint = f" {segment.joint} " if i else ""
        if i and _is_in_a_list(segments, i):
            joint = ", "
        text += joint + " ".join(words)
    return text


def _is_in_a_list(segments: list[_Segment], i: int) -> bool:
    """Whether segment i is a middle one of `a, b or c`."""
    if i + 1 >= len(segments):
        return False
    this, following = segments[i], segments[i + 1]
    is_short = not any(word in PREPOSITIONS for word in this.text.split())
    is_alike = this.begins_with_verb == following.begins_with_verb and this.joint == following.joint
    return is_short and is_alike and (_is_bare_verb(this.text) or not this.begins_with_verb)
