"""Class lists of taxonomy files, and the verb of a narration."""

import re

from cache import strict_json
from models.plain_files import read_plain
from pipeline.ego4d.reading import Reading

MAX_BYTES = 16 << 20
_TAG = re.compile(r"#\w*")
_WEARER = re.compile(r"\s*(?:[Cc]\s+)*(?:[Cc]$)?")
_OTHER = re.compile(r"\s*(?:\w+\s+){0,3}(?<!\w)[A-Z](?:\s+|$)")  # greedy: in "A man X", X is the person
_WORD = re.compile(r"[a-z]+")
# Present tenses that adding -s does not explain
_IRREGULAR = {"has": "have", "does": "do", "goes": "go", "is": "be", "lies": "lie", "ties": "tie", "dies": "die"}


def fho_taxonomy(reading: Reading, file: str, words: str) -> tuple[str, ...] | None:
    """The list `words` (verbs or nouns) of a taxonomy file, in its order; None where the file is not there."""
    if not reading.exists(file):
        return None
    path, name = reading.folder / file, reading.name(file)
    try:
        document = strict_json.loads(read_plain(path, MAX_BYTES))
    except OSError as error:
        reading.problems.add_file(name, "a taxonomy", str(error.strerror))
        return None
    except ValueError as error:
        reading.problems.add_file(name, "JSON", str(error))
        return None
    names = document.get(words) if isinstance(document, dict) else None
    is_list = isinstance(names, list) and all(isinstance(n, str) and n.strip() and n.isprintable() for n in names)
    if not (is_list and names and len(set(names)) == len(names)):
        reading.problems.add_file(name, f"a list of different names at `{words}`", names)
        return None
    return tuple(names)


class Verbs:
    """Finds the class of a verb: a taxonomy's class is named `verb_(synonym,_another)`.

    Without a taxonomy every verb is its own class.
    """

    def __init__(self, classes: tuple[str, ...] | None):
        self._class_of: dict[tuple[str, ...], str] | None = None
        if classes is not None:
            self._class_of = {}
            for name in classes:
                for phrase in re.split(r"[(),/]+", name.replace("_", " ").replace("-", " ")):
                    words = tuple(_WORD.findall(phrase.lower()))
                    if words:
                        self._class_of.setdefault(words, name)

    def class_of(self, text: str) -> str | None:
        """The class of the first verb of a narration such as `#C C picks up a cup`; None where there is none."""
        words = _WORD.findall(_after_subject(text).lower())
        if not words:
            return None
        verb = infinitive(words[0])
        if self._class_of is None:
            return verb
        phrases = [(verb, *words[1:n]) for n in range(min(3, len(words)), 0, -1)]  # "turn on the tap" before "turn"
        return next((self._class_of[phrase] for phrase in phrases if phrase in self._class_of), None)


def infinitive(verb: str) -> str:
    """`picks` -> `pick`, `carries` -> `carry`, `washes` -> `wash`."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if verb.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return verb[:-2]
    if verb.endswith("s") and not verb.endswith("ss") and len(verb) > 2:
        return verb[:-1]
    return verb


def _after_subject(text: str) -> str:
    """`#C C picks up a cup`, `#O A man X picks up a cup` -> `picks up a cup`: marks and person are not the verb."""
    is_other = text.lower().startswith("#o")
    bare = _TAG.sub("", text)
    found = _OTHER.match(bare) if is_other else _WEARER.match(bare)
    return bare[found.end() :] if found else bare
