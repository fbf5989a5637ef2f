"""Finds the verb of a clause after auxiliaries, adverbs and verbs such as "starts to". Works on words alone."""

import functools
from collections.abc import Sequence

from embedonce.pipeline.sources.ego4d.verbs.verb_forms import IRREGULAR, base_forms


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


MAX_CHAIN = 4  # consecutive verbs: "is going to start cutting"
_MODALS = word_set("can could may might must shall should will would")
_AUXILIARIES = word_set("be is are am was were been being has have had having do does did")
_CATENATIVES = word_set("attempt begin continue finish go keep proceed start try")  # "starts to cut"
_ADVERBS = word_set(
    "again almost already also always both either finally first just later not now once quite rather simply so "
    "somewhat soon still suddenly then there twice very well"
)
_VERBS_IN_LY = word_set("apply fly ply rely reply multiply supply")
_DETERMINERS = word_set("a an another her his its my the their these this those")


def verb_positions(words: Sequence[str]) -> list[int]:
    """The positions of the first verb and of those it leads to: `is`, `starting` and `cut` of "is starting to cut".

    Adverbs are skipped. Empty if there is no word.
    """
    positions: list[int] = []
    position = _skip_adverbs(words, 0)
    while position is not None and len(positions) < MAX_CHAIN:
        positions.append(position)
        position = _next_verb(words, position)
    return positions


def _next_verb(words: Sequence[str], position: int) -> int | None:
    """The position of the verb that an auxiliary, or a verb such as "start", leads to."""
    word = words[position]
    if not can_precede_verb(word):
        return None
    following = _skip_adverbs(words, position + 1)
    if following is None or word in _MODALS:
        return following
    if word in _AUXILIARIES:
        if list(words[following : following + 2]) == ["about", "to"]:
            return _skip_adverbs(words, following + 2)
        return following if _is_participle(words[following]) else None
    if words[following] == "to":
        verb = _skip_adverbs(words, following + 1)
        return None if verb is None or words[verb] in _DETERMINERS else verb
    return following if words[following].endswith("ing") else None


@functools.lru_cache(maxsize=1 << 15)
def can_precede_verb(word: str) -> bool:
    """Whether another verb may follow a word."""
    return word in _MODALS or word in _AUXILIARIES or not _CATENATIVES.isdisjoint(base_forms(word))


@functools.lru_cache(maxsize=1 << 15)
def _is_adverb(word: str) -> bool:
    """Whether a word is an adverb or a punctuation mark."""
    is_adverb = word in _ADVERBS or (word.endswith("ly") and word not in _VERBS_IN_LY)
    return is_adverb or not word.isalpha()


def _is_participle(word: str) -> bool:
    return word.endswith(("ing", "ed")) or word in IRREGULAR


def _skip_adverbs(words: Sequence[str], start: int) -> int | None:
    """The position of the first word from start on that is neither an adverb nor a mark; None at the end."""
    for i in range(start, len(words)):
        is_between_adverbs = start < i and words[i] == "and"  # "slowly and carefully"
        if not (_is_adverb(words[i]) or is_between_adverbs):
            return i
    return None
