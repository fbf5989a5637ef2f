"""Class names as people read them: words of glued names, names that are codes, names that cannot be told apart.

Pure functions of text; knows no files, no prompts and no cache.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

JOINERS = "\u200c\u200d"  # parts of words in Persian, Hindi and others, and of emoji
_UNPRINTED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of control characters and their kind
GLUED_LENGTH = 14  # letters without a break; "skateboarding" and "weightlifting" have 13
MIN_NUMBERED = 2
_CODES = re.compile(
    r"[a-z]{0,2}[\s_.-]?\d+(?:[_.-][a-z]{0,2}\d+)*"  # c07, S001, 12, 3.1, P01_02
    r"|n\d{8}"  # WordNet
    r"|(?:class|classes|cls|cat|category|label|lbl|act|action|activity|id|idx|index|type|group|folder|dir|clip|video|tag)"
    r"[\s_.-]*\d+"
    r"|(?=[0-9a-f-]*\d)(?=[0-9a-f-]*[a-f])[0-9a-f]{8,}(?:-[0-9a-f]+)*",  # hashes and uuids
    re.IGNORECASE | re.ASCII,
)
_NUMBERED = re.compile(r"[a-z]{0,2}(\d+)[\s_.):-]+(?=\D*[^\W\d_]{2})", re.IGNORECASE)


def is_plain(name: str) -> bool:
    """Whether a name holds only what is printed: letters of any script, marks, digits, signs and spaces."""
    return all(char in JOINERS or unicodedata.category(char) not in _UNPRINTED for char in name)


def words(name: str) -> str:
    """The name with spaces between its words, in lower case: of snake_case, kebab-case, dotted.case and CamelCase.

    Acronyms stay whole (`CPRTraining` is "cpr training"), and so do names such as iPhone.
    """
    text = re.sub(r"(?<=[^\W\d_]{2})[.+](?=[^\W\d_]{2})", " ", name.replace("_", " ").replace("-", " "))
    return " ".join(part for token in text.split() for part in _uncamel(token)).lower()


def is_code(name: str) -> bool:
    """Whether a name is a number, an identifier or a hash, which says nothing to a reader or to a text tower."""
    return not words(name) or bool(_CODES.fullmatch(unicodedata.normalize("NFKC", name).strip()))


def codes(names: Iterable[str]) -> list[str]:
    """The names that are codes, and all that begin with a number where most names do (`001.Albatross`)."""
    names = list(names)
    numbers = {name: found[1] for name in names if (found := _NUMBERED.match(name))}
    is_numbered = len(numbers) >= max(MIN_NUMBERED, len(names) / 2) and len(set(map(int, numbers.values()))) == len(
        numbers
    )
    return [name for name in names if is_code(name) or (is_numbered and name in numbers)]


def without_number(name: str) -> str:
    """What a reader would make of a numbered name: `001.Black_Albatross` is "Black Albatross"; "" of a bare code."""
    found = _NUMBERED.match(name)
    return name[found.end() :].replace("_", " ").strip() if found else ""


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that read the same: equal but for case, encoding of accents, or how words are joined."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        text = unicodedata.normalize("NFKC", name)
        groups[words(text).casefold()].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def glued(names: Iterable[str]) -> list[str]:
    """Names of one long lower-case word, which may be several that cannot be taken apart here."""
    return [n for n in names if len(n) >= GLUED_LENGTH and n.isascii() and n.isalpha() and " " not in words(n)]


def not_latin(names: Iterable[str]) -> list[str]:
    """Names with letters of another script, of which teachers trained on English captions know little."""
    return [n for n in names if any(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in n)]


def _uncamel(token: str) -> list[str]:
    """The words of one token; breaks lie before a capital that follows a small letter or begins a word of three."""
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
