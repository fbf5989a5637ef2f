"""Finds the class of a narration's verb among the phrases of a taxonomy. Reads no file."""

import re
from collections.abc import Iterable, Iterator, Sequence

from embedonce.pipeline.sources.ego4d.verbs.verb_chain import can_precede_verb, verb_positions, word_set
from embedonce.pipeline.sources.ego4d.verbs.verb_forms import base_forms

MAX_PARTICLE_DISTANCE = 8  # words between a verb and its particle: "turns the tap in the kitchen off"
MAX_PHRASE_WORDS = 4
MAX_CACHED_WORDS = 1 << 15
_WORD = re.compile(r"[a-z]+")
_CLAUSE_ENDS = word_set(", . ; and as but by from then to using while with")
_ADVERB_PARTICLES = word_set("aside apart away back out together")  # particles wherever they stand
_PREPOSITION_PARTICLES = word_set("down in off on over through up")  # particles that are prepositions, too
_NOT_SEPARABLE = frozenset({("put", "on")})  # "puts the lid on" does not mean "puts on the light"


def finder_for(phrases: dict[str, list[str]]) -> "VerbFinder":
    """A finder for classes such as `cut_(trim,_slice,_chop)`. phrases: class -> further phrases that mean it."""
    return VerbFinder(_all_phrases(phrases))


def split_phrases(text: str) -> list[str]:
    """`plug-in, increase/reduce` -> `plug in`, `increase`, `reduce`."""
    parts = re.split(r"[(),/;]+", text.lower().replace("_", " ").replace("-", " "))
    return [phrase for part in parts if (phrase := " ".join(_WORD.findall(part)))]


def _all_phrases(phrases: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """(phrase, class): the heads of all labels, then their parentheses and further phrases, then base forms of those.

    So `lift` is the class of that name, not a synonym of `take`.
    """
    yield from ((phrase, name) for name in phrases for phrase in split_phrases(name.partition("(")[0]))
    synonyms = [
        (phrase, name)
        for name, further in phrases.items()
        for text in (name.partition("(")[2], *further)
        for phrase in split_phrases(text)
    ]
    yield from synonyms
    for phrase, name in synonyms:
        first, _, rest = phrase.partition(" ")
        yield from ((f"{base} {rest}".strip(), name) for base in base_forms(first))


class VerbFinder:
    """Finds the class of a narration's verb.

    phrases: (phrase, class) in order of preference, the first of equal phrases counts. None: every verb is a class.
    """

    def __init__(self, phrases: Iterable[tuple[str, str]] | None):
        self._has_classes = phrases is not None
        self._class_of: dict[tuple[str, ...], str] = {}
        self._particles: dict[str, dict[str, str]] = {}  # verb -> particle -> class
        self._first_of_several: set[str] = set()  # the first words of phrases of several words
        self._cache: dict[str, tuple[str | None, str | None]] = {}  # results that the first word alone decides
        for phrase, name in phrases or ():
            self._add_phrase(tuple(phrase.split()), name)

    def class_of(self, words: Sequence[str]) -> tuple[str | None, str | None]:
        """(class, base form of the verb) of the words after the actor.

        words: lower-case, with clause marks, as from `actor_and_words`. (None, verb) for a verb without a class, and
        (None, None) if there is no verb.
        """
        cached = self._cache.get(words[0]) if words else (None, None)
        if cached is not None:
            return cached
        positions = verb_positions(words)
        verb = base_forms(words[positions[-1]])[0] if positions else None
        if not self._has_classes:
            return verb, verb
        classes = (self._class_at(words, position) for position in reversed(positions))
        result = next((name for name in classes if name is not None), None), verb
        if positions == [0] and self._is_decided_by(words[0]) and len(self._cache) < MAX_CACHED_WORDS:
            self._cache[words[0]] = result
        return result

    def _add_phrase(self, words: tuple[str, ...], name: str) -> None:
        if not words:
            return
        self._class_of.setdefault(words, name)
        if len(words) > 1:
            self._first_of_several.add(words[0])
        if len(words) == 2 and words not in _NOT_SEPARABLE:
            verb, particle = words
            if particle in _ADVERB_PARTICLES or particle in _PREPOSITION_PARTICLES:
                self._particles.setdefault(verb, {}).setdefault(particle, name)

    def _is_decided_by(self, word: str) -> bool:
        """Whether the words after a verb do not change its class."""
        return not can_precede_verb(word) and self._first_of_several.isdisjoint(base_forms(word))

    def _class_at(self, words: Sequence[str], position: int) -> str | None:
        forms = base_forms(words[position])
        if not self._first_of_several.isdisjoint(forms):
            name = self._class_of_phrase(forms, words, position) or self._class_by_particle(forms, words, position)
            if name is not None:
                return name
        return next((self._class_of[form,] for form in forms if (form,) in self._class_of), None)

    def _class_of_phrase(self, forms: tuple[str, ...], words: Sequence[str], position: int) -> str | None:
        """By the longest phrase of several words: "turn on the tap" before "turn"."""
        for length in range(min(MAX_PHRASE_WORDS, len(words) - position), 1, -1):
            following = tuple(words[position + 1 : position + length])
            for form in forms:
                name = self._class_of.get((form, *following))
                if name is not None:
                    return name
        return None

    def _class_by_particle(self, forms: tuple[str, ...], words: Sequence[str], position: int) -> str | None:
        """By a particle after the object, before the clause ends: "turns the tap off"."""
        for form in forms:
            particles = self._particles.get(form, {})
            last = min(position + 1 + MAX_PARTICLE_DISTANCE, len(words)) if particles else 0
            for i in range(position + 1, last):
                if words[i] in _CLAUSE_ENDS:
                    break
                if words[i] in particles and _is_particle(words, i):
                    return particles[words[i]]
        return None


def _is_particle(words: Sequence[str], position: int) -> bool:
    """Whether a word is a particle here, not a preposition before another object."""
    is_last = position + 1 == len(words) or words[position + 1] in _CLAUSE_ENDS
    return words[position] in _ADVERB_PARTICLES or is_last
