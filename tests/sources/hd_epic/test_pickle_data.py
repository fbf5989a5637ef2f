"""Pickles as data: nothing that a file names is imported, called or changed."""

import os
import pickle
import sys

import pytest

from embedonce.pipeline.sources.hd_epic.pickle_data import Made, Name, PickleDataError, read_pickle
from tests.support.pickled_frames import Reduced


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_themselves(protocol):
    same = ["shared"]
    value = {
        "numbers": [0, 1, -1, 255, 70_000, 1 << 40, -(1 << 80), 1.5, float("inf")],
        "others": [None, True, False, "", "ä" * 300, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}],
        "shared": (same, same),
    }
    again = read_pickle(pickle.dumps(value, protocol))
    assert again == value and again["shared"][0] is again["shared"][1]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_calls_are_recorded_and_not_made(tmp_path, protocol):
    target = tmp_path / "made"
    content = pickle.dumps([Reduced(os.mkdir, str(target)), os.getcwd], protocol)
    (made, name) = read_pickle(content)
    assert isinstance(made, Made) and (made.maker, made.args) == (f"{os.name}.mkdir", (str(target),))
    assert isinstance(name, Name) and name.path == f"{os.name}.getcwd"
    assert not target.exists()
    pickle.loads(content)
    assert target.is_dir()  # the file was a dangerous one


def test_modules_are_not_imported():
    assert "turtledemo" not in sys.modules
    (name,) = read_pickle(b"\x80\x04](cturtledemo\nthing\ne.")
    assert name.path == "turtledemo.thing" and "turtledemo" not in sys.modules


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a pickle"),
        (b"PAR1 no pickle", "expected a pickle"),
        (pickle.dumps([1, 2])[:-4], "expected a pickle"),
        (b"\x80\x04.", "expected a pickle"),  # nothing on the stack
        (b"\x80\x040.", "expected a pickle"),  # nothing to remove from it
        (b"\x80\x04K\x01K\x02.", "expected a pickle"),  # two results
        (b"\x80\x04h\x07.", "expected a pickle"),  # never kept
        (b"\x80\x04]}R.", "expected a pickle"),  # a call of a list
        (b"\x80\x04]K\x01b.", "expected a pickle"),  # a state of a list
        (b"\x80\x04}]K\x01s.", "expected a pickle"),  # a list as a key
        (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "expected a pickle"),  # a text of 2^64 - 1 bytes
        (b"\x80\x02\x82\x01.", "a pickle with the operation EXT1"),
        (b"Pid\n.", "a pickle with the operation PERSID"),
        (pickle.dumps({1, 2}), "a pickle with the operation EMPTY_SET"),
        (b"(ios\nsystem\n.", "a pickle with the operation INST"),
        (b"\x80\x05\x97.", "a pickle with the operation NEXT_BUFFER"),
    ],
)
def test_other_content_is_refused_in_one_sentence(content, message):
    with pytest.raises(PickleDataError, match=message):
        read_pickle(content)


def test_a_large_number_of_the_memo_takes_no_memory():
    assert read_pickle(b"\x80\x04K\x01r\xff\xff\xff\xffj\xff\xff\xff\xff\x86.") == (1, 1)


def test_a_state_is_set_once():
    made = read_pickle(b"\x80\x02cthing\nof\n)\x81K\x05b.")
    assert (made.maker, made.args, made.state) == ("thing.of", (), 5)
    with pytest.raises(PickleDataError, match="a state is set twice"):
        read_pickle(b"\x80\x02cthing\nof\n)\x81K\x05bK\x06b.")
