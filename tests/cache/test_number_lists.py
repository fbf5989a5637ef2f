"""JSON whose long lists of integers become arrays: the same values, and the same errors, as without arrays."""

import json
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedonce.cache import documents, number_lists, strict_json
from embedonce.cache.errors import DamagedError
from embedonce.cache.records import read_record, record_document, record_from
from embedonce.cache.store import open_writer
from tests.cache.test_fuzz import lengths, profile
from tests.conftest import make_batch, make_cache_identity, make_segment
from tests.support.mutations import mutated
from tests.support.stored import stored

LONG = ",".join(map(str, range(7, 60)))
DEEPEST = strict_json.MAX_DEPTH - 2  # objects around a list that is the value of a field of one more object


def as_lists(value):
    """The value with lists in place of arrays."""
    if isinstance(value, np.ndarray):
        assert value.dtype == np.int64 and value.base is None  # a view would keep all arrays of a document alive
        return value.tolist()
    if isinstance(value, dict):
        return {name: as_lists(part) for name, part in value.items()}
    return [as_lists(part) for part in value] if isinstance(value, list) else value


def outcome(loads, text: bytes) -> tuple[str, object]:
    """What a parser makes of a text: its value as JSON, which tells 1 from 1.0 and True, or the words of its error."""
    try:
        return "value", json.dumps(as_lists(loads(text)))
    except ValueError as error:
        return "error", str(error)


def same_outcome(text: bytes) -> str:
    """Asserts that both parsers agree; returns whether it was a value or an error."""
    kind, found = outcome(strict_json.loads_with_arrays, text)
    assert (kind, found) == outcome(strict_json.loads, text)
    return kind


def num_arrays(text: bytes) -> int:
    return len(number_lists.cut(text)[1])


def field(numbers: str, name: str = "pts") -> bytes:
    return f'{{"a":1.5,"{name}":[{numbers}],"rows":[{LONG}]}}'.encode()


@pytest.mark.parametrize(
    "numbers",
    [
        LONG,
        f"-1,0,{LONG}",
        f"{LONG},-9,0",
        f"{LONG},{10**18 - 1},{1 - 10**18}",
        "0," * 40 + "0",
    ],
)
def test_long_lists_are_arrays_of_the_same_numbers(numbers):
    assert num_arrays(field(numbers)) == 2 and same_outcome(field(numbers)) == "value"


@pytest.mark.parametrize("last", ["-0", str(2**63 - 1), str(-(2**63)), "1.0", "1e5", "true", "null", "[1]", " 1", "1 "])
def test_lists_that_are_written_in_another_way_are_read_too(last):
    assert same_outcome(field(f"{LONG},{last}")) == "value"


@pytest.mark.parametrize(
    "numbers",
    [
        *(f"{LONG},01", f"01,{LONG}", f"-01,{LONG}", f"{LONG},00", f"{LONG},-00"),
        *(f"{LONG},,1", f"{LONG},", f",{LONG}", f"{LONG},1-2", f"{LONG},--1", f"{LONG},-", f"-,{LONG}", f"{LONG},1-"),
        *(f"{LONG},{2**63}", f"{LONG},{-(2**63) - 1}", f"{LONG},{10**19}", f"{LONG},{10**40}", f"{-(10**40)},{LONG}"),
        *(f"{LONG},NaN", f"{LONG},Infinity", f"{LONG},+1", f"{LONG},1_000", f"{LONG},0x1", f"{LONG},1 2"),
    ],
)
def test_lists_that_are_no_json_integers_are_refused_in_the_same_words(numbers):
    assert num_arrays(field(numbers)) <= 1  # the second list is sound
    assert same_outcome(field(numbers)) == "error"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"source":":[{LONG}].mp4"}}',
        f'{{"source":"a\\":[{LONG}]"}}',
        f'{{"source":"a\\\\\\":[{LONG}]"}}',
        f'{{"a\\\\":[{LONG}]}}',
        f'{{"a":"pts\\":[{LONG}],","b":["NaN"],"pts":[{LONG}]}}',
        f'{{"name":"NaN","pts":[{LONG}]}}',
        f'{{"pts":[{LONG}],"pts":[{LONG},1]}}',
        f'{{"NaN":[{LONG}]}}',
        f"[{LONG}]",
        f'\ufeff{{"pts":[{LONG}],"é":[{LONG}]}}',
        '{"a":' * DEEPEST + f'{{"pts":[{LONG}]}}' + "}" * DEEPEST,
    ],
)
def test_what_looks_like_a_list_elsewhere_is_left_as_it_is(text):
    assert same_outcome(text.encode()) == "value"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"pts":[{LONG}],"x":NaN}}',
        f'{{"pts":[{LONG}],"x":Infinity}}',
        f'{{"pts":[{LONG}],"x":-Infinity}}',
        f'{{"pts":[{LONG}],"x":1e999}}',
        f'{{"pts":[{LONG}],"x":"\\ud800"}}',
        f'{{"pts":[{LONG}],"x":{2**64}}}',
        f'{{"pts":[{LONG}],}}',
        f'{{"pts":[{LONG}]',
        f'"pts":[{LONG}]',
        f'":[{LONG}]a',
        f'{{true":[{LONG}]}}',
        f'{{"a":x":[{LONG}]}}',
        '{"a":' * (DEEPEST + 1) + f'{{"pts":[{LONG}]}}' + "}" * (DEEPEST + 1),
    ],
)
def test_what_is_wrong_beside_an_array_is_refused_in_the_same_words(text):
    assert same_outcome(text.encode()) == "error"


def test_text_that_is_not_utf8_is_refused_at_the_same_byte():
    assert same_outcome(f'{{"pts":[{LONG}],"x":"'.encode() + b'\xff"}') == "error"


@lengths
def test_any_change_of_bytes_has_the_same_outcome(max_examples):
    text = f'{{"a":[{{"pts":[{LONG}],"k":[-3,{LONG}]}}],"s":"x\\":[1]","v":[[1,2],[3,4]],"z":[{LONG}]}}'.encode()
    marks = st.sampled_from(
        [b"", b",", b"-", b"0", b"7", b"[", b"]", b'"', b"\\", b":", b"NaN", b"{", b"}", b" ", b'":[']
    )

    @profile(100 * max_examples)
    @given(st.integers(0, len(text)), st.integers(0, 3), marks, st.integers(0, len(text)), marks)
    def change(start, num_bytes, new, second, other):
        changed = text[:start] + new + text[start + num_bytes :]
        same_outcome(changed[:second] + other + changed[second:])

    change()


@pytest.fixture
def record(tmp_path, backend):
    """The path of a record of 60 rows of two videos."""
    batch = make_batch(make_segment("a", 40), make_segment("b", 20))
    with closing(open_writer(tmp_path, make_cache_identity(backend, embed_dim=16))) as writer:
        writer.commit_frames("000000", batch, {"notes": list(range(100))})
    return stored(tmp_path / "records/000000.json")


@lengths
def test_a_record_of_arrays_is_the_record_of_lists(record, max_examples):
    assert num_arrays(record.get()) >= 9
    assert record_document(read_record(record))["provenance"] == {"notes": list(range(100))}

    @profile(10 * max_examples)
    @given(mutated(documents.read(record)))
    def compare(change):
        data = documents.serialize_with_checksum(change[0]) if is_json(change[0]) else b"{}"
        assert read(data, with_arrays=True) == read(data, with_arrays=False)

    compare()


def is_json(document: dict) -> bool:
    try:
        documents.serialize_with_checksum(document)
    except ValueError:
        return False
    return True


def read(data: bytes, with_arrays: bool) -> str | None:
    """The record as text; None if it is refused."""
    try:
        record = record_from(documents.parse(data, "it", with_arrays), "it")
    except DamagedError:
        return None
    return json.dumps(record_document(record))
