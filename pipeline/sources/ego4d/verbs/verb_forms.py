"""The base forms that an inflected English verb may have: `carries` -> carry, `took` -> take, `cutting` -> cut, cutt.

Uses rules and a table of irregular forms instead of a dictionary, which would take more memory than the rest of the
annotation reader. The most likely form comes first; the caller, who knows the verbs, chooses. The tests compare the
rules with a dictionary.
"""

import functools
import re

_IRREGULAR_FORMS = """
be is are am was were been being; have has had having; do does did done doing; go goes went gone; beat beaten
begin began begun; bend bent; bind bound; bite bit bitten; blow blew blown; break broke broken; bring brought
build built; buy bought; catch caught; choose chose chosen; cut cut; dig dug; draw drew drawn; drink drank drunk
drive drove driven; eat ate eaten; fall fell fallen; feed fed; fight fought; find found; fling flung
fly flew flown; forget forgot forgotten; get got gotten; give gave given; grind ground; grow grew grown; hang hung
hide hid hidden; hit hit; hold held; keep kept; kneel knelt; knit knit; know knew known; lay laid; lead led
leave left; let let; lie lay lain; light lit; lose lost; make made; mow mown; pay paid; put put; read read
ride rode ridden; ring rang rung; rise rose risen; run ran run; saw sawn; see saw seen; seek sought; sell sold
send sent; set set; sew sewn; shake shook shaken; shave shaven; shear shorn; shoot shot; show shown; shine shone
shrink shrank shrunk shrunken; shut shut; sing sang sung; sink sank sunk; sit sat; sleep slept; slide slid slids
sow sown; speak spoke spoken; spill spilt; spin spun; split split; spread spread; spring sprang sprung; stand stood
steal stole stolen; stick stuck; sting stung; strike struck; string strung; sweep swept; swim swam swum
swing swung; take took taken; teach taught; tear tore torn; tell told; think thought; throw threw thrown; tie tying
tread trod trodden; unbind unbound; understand understood; unwind unwound; wake woke woken; wear wore worn
weave wove woven; weep wept; wind wound; withdraw withdrew withdrawn; wring wrung; write wrote written
""".replace("\n", ";")
# Stems that are rarely whole words: "rais", "slic", "handl"; and short ones whose last letter would be doubled: "typ"
_NEEDS_E = re.compile(
    r"(?:[aeiouy][vzcs]|[^aeiouw]l|[dr]g|[^aeiou][aiu]t|nc|rc|rs|ns|u|^[^aeiou]*[aeiouy][^aeiouwxyh])$"
)


def _irregular() -> dict[str, tuple[str, ...]]:
    bases: dict[str, tuple[str, ...]] = {}
    for line in filter(None, map(str.split, _IRREGULAR_FORMS.split(";"))):
        for form in line[1:]:
            bases[form] = (*bases.get(form, ()), line[0])
    return bases


IRREGULAR = _irregular()  # form -> its base forms


@functools.lru_cache(maxsize=1 << 15)
def base_forms(word: str) -> tuple[str, ...]:
    """The base forms that a lower-case word may have: at least one, distinct, the most likely first."""
    bases = list(IRREGULAR.get(word, ()))
    if word.endswith("ing") and len(word) > 4:
        bases += _without_ending(word[:-3], is_past=False)
    elif word.endswith("ed") and len(word) > 3:
        bases += _without_ending(word[:-2], is_past=True)
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 2:
        bases += _without_s(word)
    return tuple(dict.fromkeys([*bases, word]))


def _without_s(word: str) -> list[str]:
    stem = word[:-1]
    if word.endswith("ies"):
        return [word[:-3] + "y", stem] if len(word) > 4 else [stem]
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return [word[:-2], stem]
    if word.endswith("zes"):
        return [stem, word[:-3]]  # "quizzes" ends with "zzes"
    return [stem, word[:-2]] if word.endswith("es") else [stem]


def _without_ending(stem: str, is_past: bool) -> list[str]:
    """Base forms of a gerund or a regular past form, given the stem before its ending."""
    if is_past and stem.endswith("i"):
        return [stem[:-1] + "y", stem + "e"]  # "carried", "tied"
    if not is_past and stem.endswith("y"):
        bases = [stem, stem[:-1] + "ie"]  # "playing", "tying"
        return bases if len(stem) > 2 else bases[::-1]
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "aeiou":
        is_doubled = stem[-1] not in "lsfz" and len(stem) > 3
        return [stem[:-1], stem] if is_doubled else [stem, stem[:-1]]
    return [stem + "e", stem] if _NEEDS_E.search(stem) else [stem, stem + "e"]
