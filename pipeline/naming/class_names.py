"""Analyzes class names: splits them into words, and finds codes, duplicates, joined words and non-Latin scripts."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

JOINERS = "\u200c\u200d"  # parts of words in Persian, Hindi and other languages, and of emoji
_UNPRINTED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode categories of unprintable characters
MIN_JOINED_LETTERS = 14  # of names that may be several words; "skateboarding" and "weightlifting" have 13
MIN_NUMBERED = 2
_SIGNS = ("Lu", "Ll", "Lt", "Lm", "Lo", "So")  # Unicode categories of letters, and of pictures such as emoji
_CODES = re.compile(
    r"[a-z]{0,2}[\s_.-]?\d+(?:[_.-][a-z]{0,2}\d+)*"  # c07, S001, 12, 3.1, P01_02
    r"|n\d{8}"  # WordNet
    r"|(?:class|classes|cls|cat|category|label|lbl|act|action|activity|id|idx|index|type|group|folder|dir|clip|video|tag"
    r"|verb|noun|object|obj|step|keystep|task)"
    r"[\s_.-]*\d+"
    r"|(?=[0-9a-f-]*\d)(?=[0-9a-f-]*[a-f])[0-9a-f]{8,}(?:-[0-9a-f]+)*",  # hashes and uuids
    re.IGNORECASE | re.ASCII,
)
_NUMBERED = re.compile(r"[a-z]{0,2}(\d+)[\s_.):-]+(?=\D*[^\W\d_]{2})", re.IGNORECASE)


def is_plain(name: str) -> bool:
    """Whether a name consists of printable characters: letters of any script, marks, digits, symbols, spaces."""
    return all(char in JOINERS or unicodedata.category(char) not in _UNPRINTED for char in name)


def words(name: str) -> str:
    """The words of a name in lower case, separated by spaces; splits snake_case, kebab-case, dotted.case, CamelCase.

    Acronyms (`CPRTraining` becomes "cpr training") and names such as iPhone are not split; `tap:on` becomes "tap on".
    """
    text = re.sub(r"(?<=[^\W\d_]{2})[.+](?=[^\W\d_]{2})", " ", name.replace("_", " ").replace("-", " "))
    text = re.sub(r"(?<=[^\W\d_])[:;](?=[^\W\d_])", " ", text)
    text = re.sub(r"(?<=[^\W\d_]),(?=[^\W\d_])", ", ", text)
    return " ".join(part for token in text.split() for part in _uncamel(token)).lower()


def is_code(name: str) -> bool:
    """Whether a name is a number, an identifier or a hash, which means nothing to a reader or a text encoder."""
    has_signs = any(unicodedata.category(char) in _SIGNS for char in name)
    return not has_signs or bool(_CODES.fullmatch(unicodedata.normalize("NFKC", name).strip()))


def codes(names: Iterable[str]) -> list[str]:
    """The names that are codes, and if most names begin with a number, also those (`001.Albatross`)."""
    names = list(names)
    numbers = {name: match[1] for name in names if (match := _NUMBERED.match(name))}
    num_distinct = len(set(map(int, numbers.values())))
    is_numbered = len(numbers) >= max(MIN_NUMBERED, len(names) / 2) and num_distinct == len(numbers)
    return [name for name in names if is_code(name) or (is_numbered and name in numbers)]


def without_number(name: str) -> str:
    """A numbered name without its number: `001.Black_Albatross` becomes "Black Albatross". "" for other names."""
    match = _NUMBERED.match(name)
    return name[match.end() :].replace("_", " ").strip() if match else ""


def equivalent_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that differ only in case, encoding of accents, or word separators."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        text = unicodedata.normalize("NFKC", name)
        groups[words(text).casefold()].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def joined_words(names: Iterable[str]) -> list[str]:
    """Names of one long lower-case word, which may be several words without separators."""
    return [n for n in names if len(n) >= MIN_JOINED_LETTERS and n.isascii() and n.isalpha() and " " not in words(n)]


def not_latin(names: Iterable[str]) -> list[str]:
    """Names with letters of other scripts, which teachers trained on English captions hardly know."""
    return [n for n in names if any(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in n)]


def _uncamel(token: str) -> list[str]:
    """The words of a token; a word begins at a capital after a small letter, or at a capital and two small letters."""
    parts, start = [], 0
    for at in range(1, len(token)):
        if _breaks(token, at) and not (at == 1 and token[0].islower()):
            parts.append(token[start:at])
            start = at
    return [*parts, token[start:]]


def _breaks(token: str, at: int) -> bool:
    before, here, after = token[at - 1], token[at], token[at + 1 : at + 3]
    if not here.isupper():
        return False
    if before.islower():
        return True
    begins_word = len(after) == 2 and after.islower()
    return begins_word and (before.isupper() or before.isdigit())
