"""Turns names of verb classes, such as those of Ego4D's taxonomies, into English phrases.

`cut_(trim,_slice,_chop)` -> cutting, trimming, slicing, chopping something. Pure functions of text.
"""

import re

from embedonce.pipeline.labeling.prompts.inflection import is_verb
from embedonce.pipeline.labeling.prompts.label_phrases import Phrase, sentence_phrase
from embedonce.pipeline.labeling.prompts.verb_wordings import PREPOSITIONS, imperative

_GROUP = re.compile(r"\(([^()]*)\)?")


def split_name(name: str) -> tuple[str, list[list[str]]]:
    """(head, the words in each pair of parentheses) of a taxonomy name, in lower case and with spaces.

    `jack_(tool)_(jack,_lift)` -> `jack`, [[`tool`], [`jack`, `lift`]]. Quotation marks act as separators.
    """
    text = re.sub(r"(?<!\w)['\"]|['\"](?!\w)", ",", name.replace("_", " ").lower())
    groups = [[" ".join(part.split()) for part in re.split(r"[,/;]", group)] for group in _GROUP.findall(text)]
    head = re.sub(r"\s*,\s*", " ", _GROUP.sub(" ", text))
    return " ".join(head.split()), [words for group in groups if (words := list(filter(None, group)))]


def verb_phrases(name: str) -> tuple[Phrase, ...]:
    """The phrases of a class's verb and of its synonyms; () if the name does not begin with a verb.

    Words in parentheses that begin with a preposition (`file_(with_tool)`) are not synonyms; they follow the verb.
    """
    head, groups = split_name(name.replace("-", " "))
    words = [word for group in groups for word in group]
    modifiers = [word for word in words if word.split()[0] in PREPOSITIONS]
    synonyms = [word for word in words if word not in modifiers]
    if not head or not is_verb(head.split()[0]):
        return ()
    phrases = (_phrase(verb, modifiers) for verb in dict.fromkeys([head, *synonyms]))
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase is not None))


def _phrase(verb: str, modifiers: list[str]) -> Phrase | None:
    text = imperative(verb)
    if modifiers:
        text = " ".join([text if text != verb else f"{verb} something", *map(_with_article, modifiers)])
    return sentence_phrase(text)


def _with_article(modifier: str) -> str:
    """`with tool` -> `with a tool`."""
    return re.sub(r"^(with) (tool)$", r"\1 a \2", modifier)
