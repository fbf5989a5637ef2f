"""English word forms for class prompts: gerund, third person, articles. The only importer of lemminflect.

lemminflect is imported on first use: it loads a dictionary of 20 MB in 0.3 s.
"""

import functools
import re

# Initial vowel letters pronounced as consonants, and the reverse: "a unicorn", "a one-way sign", "an hour"
_CONSONANT_SOUND = re.compile(r"eu|ewe|one\b|once|u[bcfkrst][aeiouy]|uni[cflopqstv]|u\b|(?-i:U[A-Z])", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"hour|honest|honou?r|heir|x-ray", re.IGNORECASE)
_SPELLED_OUT = re.compile(r"[AEFHILMNORSX](?:[B-DF-HJ-NP-TV-Z]|\b)[A-Z]*\d*\b")  # "an ATM", "an MP3 player"
_NOT_PLURAL = ("ss", "us", "as", "is", "lens")
_BY_HAND = {"tie": ("tying", "ties"), "dial": ("dialing", "dials")}


def gerund(verb: str) -> str:
    """`cut` -> `cutting`."""
    return _forms(verb)[0]


def third_person(verb: str) -> str:
    """`carry` -> `carries`."""
    return _forms(verb)[1]


def is_verb(word: str) -> bool:
    """Whether the word is the base form of a verb in the dictionary."""
    return word in _bases(word)


def base_of_gerund(word: str) -> str | None:
    """`cutting` -> `cut`; None if the word is not the gerund of a verb in the dictionary."""
    if not word.endswith("ing") or len(word) < 5:
        return None
    return next((base for base in _bases(word) if base != word), None)


def with_article(noun: str) -> str:
    """A singular, countable noun phrase with `a` or `an`, by its pronunciation."""
    return f"{'an' if _begins_with_vowel_sound(noun) else 'a'} {noun}"


def is_plural(noun: str) -> bool:
    """Whether a noun phrase looks like a plural, which has no indefinite article."""
    return noun.endswith("s") and not noun.endswith(_NOT_PLURAL)


def _begins_with_vowel_sound(noun: str) -> bool:
    if _SPELLED_OUT.match(noun) or _VOWEL_SOUND.match(noun):
        return True
    return noun[:1].lower() in tuple("aeiou") and not _CONSONANT_SOUND.match(noun)


@functools.cache
def _bases(word: str) -> tuple[str, ...]:
    """Base forms of the verbs that the word can be a form of."""
    from lemminflect import getAllLemmas

    lemmas = getAllLemmas(word)
    return (*lemmas.get("VERB", ()), *lemmas.get("AUX", ()))


@functools.cache
def _forms(verb: str) -> tuple[str, str]:
    """(gerund, third person) of a verb in its base form."""
    if verb in _BY_HAND:
        return _BY_HAND[verb]
    from lemminflect import getInflection

    return getInflection(verb, "VBG")[0], getInflection(verb, "VBZ")[0]
