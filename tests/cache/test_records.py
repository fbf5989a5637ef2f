"""Records that contradict themselves are refused when they are read, whether their columns are short or long."""

import gc

import numpy as np
import pytest

from embedonce.cache import documents
from embedonce.cache.backends.shard_format import Encoded
from embedonce.cache.errors import DamagedError
from embedonce.cache.parsed_folder import ParsedFolder
from embedonce.cache.records import record_document, record_from, record_of
from tests.conftest import make_segment
from tests.support.stored import stored


def document_of(num_rows: int) -> dict:
    """Of a unit with num_rows rows of one video, as many ok requests and one more that is missing."""
    segment = make_segment("a", num_rows)
    return record_document(record_of("000000", Encoded(b"x" * num_rows, {}), 64 * "0", [segment], num_rows, {}))


def read(document: dict):
    data = documents.serialize_with_checksum(document)
    return record_from(documents.parse(data, "it", with_arrays=True), "it")


@pytest.fixture(params=[4, 60], ids=["short", "long"])
def document(request):
    return document_of(request.param)


def changed(column: list, place: int, value: int) -> list:
    column[place] = value
    return column


CHANGES = {
    "unknown status": lambda s: changed(s["request_status"], -1, 5),
    "status that no byte holds": lambda s: changed(s["request_status"], -1, 256 + 3),
    "ok without a row": lambda s: changed(s["request_row"], 1, -1),
    "row of a request that is not ok": lambda s: changed(s["request_row"], -1, 0),
    "row before the first": lambda s: changed(s["request_row"], -1, -2),
    "row behind the last": lambda s: changed(s["request_row"], 1, len(s["pts"])),
    "frames out of order": lambda s: changed(s["frame_index"], 1, 0),
    "times out of order": lambda s: changed(s["pts"], 1, s["pts"][0]),
    "requests out of order": lambda s: changed(s["request_k"], 1, 0),
    "negative frame": lambda s: changed(s["frame_index"], 0, -1),
    "frame that no key holds": lambda s: changed(s["frame_index"], -1, 10**8),
    "time beyond all": lambda s: changed(s["pts"], -1, 2**62),
    "a time less": lambda s: s["pts"].pop(),
    "a row less": lambda s: (s["pts"].pop(), s["frame_index"].pop()),
    "a status less": lambda s: s["request_status"].pop(),
    "an answer less": lambda s: s["request_row"].pop(),
    "a request less": lambda s: s["request_k"].pop(),
    "nested rows": lambda s: s.update(pts=[s["pts"]], frame_index=[s["frame_index"]]),
    "a number as a column": lambda s: s.update(request_k=5),
    "no columns": lambda s: s.update(frame_index=[], pts=[]),
    "fractions": lambda s: changed(s["pts"], 1, s["pts"][1] + 0.5),
    "a box without height": lambda s: changed(s["views"][0], 2, 0),
    "an unknown filter": lambda s: changed(s["views"][0], 5, 4),
}


def test_a_sound_record_is_read(document):
    record = read(document)
    assert record.num_rows == len(record.keys) == len(document["segments"][0]["pts"])
    assert record.segments[0].pts.dtype == np.int64 and record.segments[0].request_status.dtype == np.uint8


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_that_contradicts_itself_is_refused(document, change):
    CHANGES[change](document["segments"][0])
    with pytest.raises(DamagedError, match=r"^it is damaged"):
        read(document)


def test_one_row_is_no_column_in_a_column():
    document = document_of(1)
    CHANGES["nested rows"](document["segments"][0])
    with pytest.raises(DamagedError, match="different lengths"):
        read(document)


@pytest.mark.parametrize("was_enabled", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_search_for_cycles_goes_on_after_reading_a_folder(tmp_path, was_enabled, fails):
    (tmp_path / "a.json").write_text("")
    states = []

    def parse(path):
        states.append(gc.isenabled())
        if fails:
            raise DamagedError("it is damaged")

    try:
        (gc.enable if was_enabled else gc.disable)()
        if fails:
            with pytest.raises(DamagedError):
                ParsedFolder(stored(tmp_path), parse).values()
        else:
            assert ParsedFolder(stored(tmp_path), parse).values() == {"a": None}
        assert gc.isenabled() == was_enabled and states == [False]
    finally:
        gc.enable()
