"""Where the verb of a clause stands: behind auxiliaries, adverbs and verbs such as "starts to". Knows words alone."""

import functools
from collections.abc import Sequence

from embedonce.pipeline.sources.ego4d.verbs.verb_forms import IRREGULAR, bases


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


MAX_CHAIN = 4  # verbs one after another: "is going to start cutting"
_MODALS = word_set("can could may might must shall should will would")
_AUXILIARIES = word_set("be is are am was were been being has have had having do does did")
_BEFORE_ANOTHER = word_set("attempt begin continue finish go keep proceed start try")  # "starts to cut"
_ADVERBS = word_set(
    "again almost already also always both either finally first just later not now once quite rather simply so "
    "somewhat soon still suddenly then there twice very well"
)
_NO_ADVERBS = word_set("apply fly ply rely reply multiply supply")
_DETERMINERS = word_set("a an another her his its my the their these this those")


def verb_places(words: Sequence[str]) -> list[int]:
    """The places of the first verb and of those it leads to: `is`, `starting` and `cut` of "is starting to cut".

    Adverbs are skipped. Empty where there is no word.
    """
    places = []
    at = _after_adverbs(words, 0)
    while at is not None and len(places) < MAX_CHAIN:
        places.append(at)
        at = _next_verb(words, at)
    return places


def _next_verb(words: Sequence[str], at: int) -> int | None:
    """The place of the verb that an auxiliary, or a verb such as "start", leads to."""
    if not leads_on(words[at]):
        return None
    following = _after_adverbs(words, at + 1)
    if following is None or words[at] in _MODALS:
        return following
    if words[at] in _AUXILIARIES:
        if list(words[following : following + 2]) == ["about", "to"]:
            return _after_adverbs(words, following + 2)
        return following if _is_participle(words[following]) else None
    if words[following] == "to":
        verb = _after_adverbs(words, following + 1)
        return None if verb is None or words[verb] in _DETERMINERS else verb
    return following if words[following].endswith("ing") else None


@functools.lru_cache(maxsize=1 << 15)
def leads_on(word: str) -> bool:
    """Whether another verb may follow a word."""
    return word in _MODALS or word in _AUXILIARIES or not _BEFORE_ANOTHER.isdisjoint(bases(word))


@functools.lru_cache(maxsize=1 << 15)
def _is_adverb(word: str) -> bool:
    """Whether a word, or a mark, stands before a verb without being one."""
    is_adverb = word in _ADVERBS or (word.endswith("ly") and word not in _NO_ADVERBS)
    return is_adverb or not word.isalpha()


def _is_participle(word: str) -> bool:
    return word.endswith(("ing", "ed")) or word in IRREGULAR


def _after_adverbs(words: Sequence[str], at: int) -> int | None:
    """The place of the first word from here on that is neither an adverb nor a mark; None at the end."""
    for i in range(at, len(words)):
        is_between = at < i and words[i] == "and"  # "slowly and carefully"
        if not (_is_adverb(words[i]) or is_between):
            return i
    return None
