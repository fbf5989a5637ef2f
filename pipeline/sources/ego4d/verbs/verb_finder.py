"""The class of a narration's verb. Knows verbs and their forms; reads no file."""

from collections.abc import Iterable, Sequence

from embedonce.pipeline.sources.ego4d.verbs.verb_chain import leads_on, verb_places, word_set
from embedonce.pipeline.sources.ego4d.verbs.verb_forms import bases

FAR = 8  # words after a verb within which its particle may stand: "turns the tap in the kitchen off"
MAX_PHRASE = 4
MAX_PLAIN = 1 << 15  # verbs whose class is remembered
_CLAUSE_ENDS = word_set(", . ; and as but by from then to using while with")
_BARE_PARTICLES = word_set("aside apart away back out together")  # adverbs wherever they stand
_POSITIONS = word_set("down in off on over through up")  # particles that are prepositions, too
_OTHERWISE = frozenset({("put", "on")})  # "puts the lid on" is not "puts on the light"


class Verbs:
    """Finds the class of a narration's verb among the phrases of a taxonomy; without one, every verb is a class.

    phrases: (phrase, class) in order of preference: of equal phrases the first counts.
    """

    def __init__(self, phrases: Iterable[tuple[str, str]] | None):
        self._class_of: dict[tuple[str, ...], str] | None = None
        self._particles: dict[str, dict[str, str]] = {}  # verb -> particle -> class
        self._longer: set[str] = set()  # the first words of phrases of several words
        self._plain: dict[str, tuple[str | None, str | None]] = {}  # of first words that alone decide
        if phrases is not None:
            self._class_of = {}
            for phrase, name in phrases:
                self._learn(tuple(phrase.split()), name)

    def class_of(self, words: Sequence[str]) -> tuple[str | None, str | None]:
        """(class, verb in its base form) of the words after the actor; (None, verb) where the verb has no class.

        words: lower-case, with clause marks, as `actor_and_words` makes them. (None, None) where they hold no verb.
        """
        known = self._plain.get(words[0]) if words else (None, None)
        if known is not None:
            return known
        places = verb_places(words)
        verb = bases(words[places[-1]])[0] if places else None
        if self._class_of is None:
            return verb, verb
        classes = (self._class_at(words, at) for at in reversed(places))
        found = next((name for name in classes if name is not None), None), verb
        if places == [0] and self._decides_alone(words[0]) and len(self._plain) < MAX_PLAIN:
            self._plain[words[0]] = found
        return found

    def _decides_alone(self, word: str) -> bool:
        """Whether the words after a verb change nothing."""
        return not leads_on(word) and self._longer.isdisjoint(bases(word))

    def _class_at(self, words: Sequence[str], at: int) -> str | None:
        forms = bases(words[at])
        if not self._longer.isdisjoint(forms):
            found = self._adjacent(forms, words, at) or self._far(forms, words, at)
            if found is not None:
                return found
        return next((self._class_of[form,] for form in forms if (form,) in self._class_of), None)

    def _learn(self, words: tuple[str, ...], name: str) -> None:
        if not words:
            return
        self._class_of.setdefault(words, name)
        if len(words) > 1:
            self._longer.add(words[0])
        if len(words) == 2 and (words[1] in _BARE_PARTICLES or words[1] in _POSITIONS) and words not in _OTHERWISE:
            self._particles.setdefault(words[0], {}).setdefault(words[1], name)

    def _adjacent(self, forms: tuple[str, ...], words: Sequence[str], at: int) -> str | None:
        """By the longest phrase of several words: "turn on the tap" before "turn"."""
        for length in range(min(MAX_PHRASE, len(words) - at), 1, -1):
            after = tuple(words[at + 1 : at + length])
            for form in forms:
                name = self._class_of.get((form, *after))
                if name is not None:
                    return name
        return None

    def _far(self, forms: tuple[str, ...], words: Sequence[str], at: int) -> str | None:
        """By a particle behind the object, before the clause ends: "turns the tap off"."""
        for form in forms:
            particles = self._particles.get(form, {})
            for i in range(at + 1, min(at + 1 + FAR, len(words)) if particles else 0):
                if words[i] in _CLAUSE_ENDS:
                    break
                if words[i] in particles and _ends_clause(words, i):
                    return particles[words[i]]
        return None


def _ends_clause(words: Sequence[str], at: int) -> bool:
    """Whether a word is a particle and not a preposition before another object."""
    return words[at] in _BARE_PARTICLES or at + 1 == len(words) or words[at + 1] in _CLAUSE_ENDS
