"""Parses the text of a narration, such as `#C C picks up a cup`: who acts, and the words after the actor."""

import re
from enum import Enum

from embedonce.pipeline.sources.ego4d.verbs.verb_chain import word_set

_MARK = re.compile(r"\s*[#@]\s*([a-z]*)[\s:.,;-]*", re.IGNORECASE)
_LEADING_C = re.compile(r"\s*c\b(?!['’])[\s:.,;-]*", re.IGNORECASE)
_TAG = re.compile(r"[#@]\s?\w*")
_PERSON = r"(?:\w+\s+){0,3}(?<!\w)[A-Z](?:\s+|$)"
_WEARER = re.compile(rf"(?:[Cc]\b[\s:.,;-]*)*(?:and\s+{_PERSON})*")
_OTHER = re.compile(rf"\s*{_PERSON}(?:and\s+{_PERSON})*")  # greedy: in "A man X", X is the person
_WORD = re.compile(r"[a-z]+|[,.;]")
_UNNAMED = word_set(
    "a an and another boy child friend girl he lady man men other people person she the they two woman women"
)


class Actor(Enum):
    """Who acts: the camera wearer, another person, or an unknown actor (`#unsure`, `#summary` and the like)."""

    WEARER = "#C"
    OTHER = "#O"
    UNKNOWN = ""


def actor_and_words(text: str) -> tuple[Actor, list[str]]:
    """The actor, and the lower-case words and clause marks (`,` `.` `;`) after it; no words for an unknown actor.

    Accepts the marks that annotators write: `#C C`, `# C`, `#CC`, `@c`, a bare `C `; `#O A man X`.
    """
    mark = _MARK.match(text)
    if mark is None:
        bare = _LEADING_C.match(text)
        return (Actor.WEARER, _words(_WEARER, text)) if bare else (Actor.UNKNOWN, [])
    letters, rest = mark[1].lower(), text[mark.end() :]
    if letters and not letters.strip("c"):
        return Actor.WEARER, _words(_WEARER, rest)
    if letters and not letters.strip("o"):
        return Actor.OTHER, _words(_OTHER, rest)
    return Actor.UNKNOWN, []


def _words(actor: re.Pattern, text: str) -> list[str]:
    """The words after the actor, who is a letter, or words such as `a man` if there is no letter."""
    text = (_TAG.sub("", text) if "#" in text or "@" in text else text).lstrip()
    match = actor.match(text)
    end = match.end() if match else 0
    words = _WORD.findall(text[end:].lower())
    first = 0
    if not end or words[:1] == ["and"]:
        while first < len(words) and words[first] in _UNNAMED:
            first += 1
    return words[first:]
