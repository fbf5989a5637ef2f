"""Text of cells: times in seconds and as timecodes, splits, class names, narrations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedonce.cache.limits import MAX_NAME
from embedonce.pipeline.sources.manifest.cell_text import text_of
from embedonce.pipeline.sources.manifest.cell_values import label_of, name_of, narration_of, seconds_of, split_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0", 0.0), ("12.5", 12.5), ("12.", 12.0), (".5", 0.5), ("1e2", 100.0), ("+3", 3.0), ("1e-05", 1e-5)],
        *[("01:02", 62.0), ("1:02.25", 62.25), ("90:00", 5400.0), ("00:00:01.089", 1.089), ("100:00:00", 360000.0)],
    ],
)
def test_times(text, seconds):
    assert seconds_of("start", text) == seconds


@pytest.mark.parametrize(
    "text",
    ["nan", "inf", "-1", "-0", "1,5", "1_0", "0x10", "1e999", "12s", "1:75", "1:60:00", "0:0:1:12", "1:2:", ":5", "٣"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match=r"^end: expected seconds \(12\.5\) or a timecode \(HH:MM:SS\.sss, MM:SS\)"):
        seconds_of("end", text)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_python_writes_it(value):
    assert seconds_of("start", repr(value)) == value


@given(st.integers(0, 10**9))
def test_every_timecode_is_the_number_of_its_milliseconds(ms):
    hours, rest = divmod(ms, 3_600_000)
    text = f"{hours:02}:{rest // 60000:02}:{rest // 1000 % 60:02}.{ms % 1000:03}"
    assert math.isclose(seconds_of("start", text), ms / 1000, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("text", "split"),
    [("train", "train"), ("Training", "train"), ("VALID", "val"), ("dev", "val"), ("testing", "test")],
)
def test_splits_have_the_names_of_split_folders(text, split):
    assert split_of("split", text) == split


@pytest.mark.parametrize("text", ["trian", "train_256", "0"])
def test_other_splits_are_refused(text):
    with pytest.raises(ValueError, match=f"^split: expected train, val or test, got '{text}'$"):
        split_of("split", text)


def test_labels():
    assert label_of("label", "cut bread, fast") == "cut bread, fast"
    assert label_of("label", "cut | stir pot|a") == "cut|stir pot|a"
    for text in ("a|", "|", "a||b", "a|b|a"):
        with pytest.raises(ValueError, match=r"^label: expected a class, or different ones with \| between them, got"):
            label_of("label", text)
    for text in ("a\x07", "a" * (MAX_NAME + 1)):
        with pytest.raises(ValueError, match=r"^label: expected printable text of at most"):
            label_of("label", text)


def test_narrations_are_one_line_and_uids_are_printable():
    assert narration_of("text", "#C C  cuts\r\nbread\t") == "#C C cuts bread"
    for parse in (narration_of, name_of):
        with pytest.raises(ValueError, match="printable"):
            parse("text", "a\x1b[0m")


def test_typed_values_have_the_text_that_a_csv_file_has():
    values = [None, "a", 3, 2.5, float("nan"), ["a", "b"], []]
    assert [text_of("label", value) for value in values] == ["", "a", "3", "2.5", "nan", "a|b", ""]
    for value in (True, {"a": 1}, [1], b"x"):
        with pytest.raises(ValueError, match=r"^label: expected text or a number, got"):
            text_of("label", value)
