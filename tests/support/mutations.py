"""Documents with one thing changed at random, for property-based tests: hypothesis strategies over plain values.

Knows lists, dictionaries and plain values; nothing of what they mean.
"""

import copy

from hypothesis import strategies as st

TEXTS = ("", "x", "\ud800", "a\udfffb", "\udc80", "../x", "a\nb", "\x00", "é", "x" * 200, "x" * 2000, "=1+1", "NaN")
NUMBERS = (-1, 0, 1, 2, 7, 255, 256, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), 2**63, 2**70, 10**30, 10**4000)
FLOATS = (0.0, -0.0, 1.5, -1.5, 5e-324, 1e300, -1e308, float("nan"), float("inf"), float("-inf"))
NESTED = ([], {}, [[]], [[[[[[]]]]]], {"a": {"b": []}}, [None], [0] * 50, {"x": 1})
DEEP: list = []
for _ in range(40):
    DEEP = [DEEP]

ABSURD = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.sampled_from(FLOATS),
    st.sampled_from(NESTED),
    st.sampled_from((None, True, False, DEEP)),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.binary(max_size=20).map(lambda data: data.decode("latin-1")),
)


@st.composite
def mutated(draw, document):
    """(a copy of the document with one change, the place of the change, what was there, what is there now).

    Where an entry was taken away or added the last two are None.
    """
    document = copy.deepcopy(document)
    inner, place = document, ()
    while True:
        keys = list(inner) if isinstance(inner, dict) else range(min(len(inner), 40))
        if not len(keys):
            break
        key = draw(st.sampled_from(list(keys)))
        value = inner[key]
        place = (*place, key)
        if isinstance(value, (dict, list)) and len(value) and draw(st.booleans()):
            inner = value
            continue
        return (*_changed(draw, document, inner, key, value), place)
    return document, None, None, place


def _changed(draw, document, inner, key, value) -> tuple:
    kind = draw(st.sampled_from(("replace", "replace", "replace", "remove", "repeat", "add")))
    if kind == "remove":
        del inner[key]
        return document, None, None
    if kind == "repeat" and isinstance(inner, list):
        inner[key:key] = [copy.deepcopy(value)] * draw(st.sampled_from((1, 2, 100)))
        return document, None, None
    if kind == "add" and isinstance(inner, dict):
        inner[draw(st.sampled_from(TEXTS))] = draw(ABSURD)
        return document, None, None
    new = draw(ABSURD)
    inner[key] = copy.deepcopy(new)
    return document, value, new
