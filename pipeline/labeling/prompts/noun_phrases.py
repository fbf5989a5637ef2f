"""Turns names of noun classes, such as those of Ego4D's taxonomies, into noun phrases with articles.

`mouse_(computer)` -> "a computer mouse"; `cup_(cup,_mug,_tumbler)` -> "a cup", "a mug", "a tumbler". Pure functions of
text.
"""

from embedonce.pipeline.labeling.prompts.inflection import is_plural, with_article
from embedonce.pipeline.labeling.prompts.noun_wordings import DROPPED, MASS, PHRASES, PLURALS, SENSES
from embedonce.pipeline.labeling.prompts.verb_phrases import split_name


def noun_phrases(name: str) -> tuple[str, ...]:
    """The phrases of a class's noun and of its synonyms.

    A single word in parentheses is the sense of the noun and goes in front of it; several words are synonyms.
    """
    head, groups = split_name(name)
    if not head:
        return ()
    senses = [group[0] for group in groups if len(group) == 1 and group[0] != head]
    synonyms = [word for group in groups if len(group) > 1 for word in group]
    phrases: list[str | None] = [phrase for sense in senses for phrase in _of_sense(head, sense)]
    if not senses and not all((head, word) in SENSES for word in synonyms or [""]):
        phrases.append(_of_word(head, head))
    for word in synonyms:
        phrases += _of_sense(head, word) if (head, word) in SENSES else [_of_word(head, word)]
    return tuple(dict.fromkeys(filter(None, phrases)))


def _of_sense(head: str, sense: str) -> tuple[str, ...]:
    return SENSES.get((head, sense)) or (_with_article(f"{sense} {head}"),)


def _of_word(head: str, word: str) -> str | None:
    """The phrase of a synonym; None for a word that is not one."""
    if (head, word) in DROPPED:
        return None
    return PHRASES.get((head, word)) or PHRASES.get(word) or _with_article(word)


def _with_article(noun: str) -> str:
    noun = PLURALS.get(noun, noun)
    has_article = noun.split()[0] in ("a", "an", "the")
    return noun if has_article or noun in MASS or is_plural(noun) else with_article(noun)
