"""Manifests in Parquet files."""

import sys
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.registry import open_sources
from tests.support.folders import touch


@pytest.fixture
def folder(tmp_path):
    return touch(tmp_path, "a.mp4", "b.mp4")


def opened(folder):
    return open_sources(None, SimpleNamespace(manifest=folder / "t.parquet"))[""]


def write(folder, columns: dict) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install -e '.[parquet]'")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), folder / "t.parquet", row_group_size=2)


def test_rows_are_those_of_a_csv_file(folder):
    names = ["a.mp4", "b.mp4", "a.mp4"]
    write(folder, {"Video": names, "start": [0.5, None, 3.0], "label": [["x"], ["y"], ["x"]], "k": [{"a": 1}] * 3})
    (folder / "t.csv").write_text("video,start,label\na.mp4,0.5,x\nb.mp4,,y\na.mp4,3.0,x\n")
    source = opened(folder)
    assert source.clips == open_sources(None, SimpleNamespace(manifest=folder / "t.csv"))[""].clips
    assert source.notes == ("columns of t.parquet that are not used: k",)


def test_problems_are_numbered_by_row(folder):
    nan = float("nan")
    write(
        folder, {"video": ["a.mp4", "b.mp4", "a.mp4"], "end": [nan, 2.0, 1.0], "label": [["x"], ["x", "y"], ["x", "x"]]}
    )
    with pytest.raises(InputError, match=r"^2 problems in") as caught:
        opened(folder)
    assert [line.partition(", got")[0] for line in caught.value.details] == [
        "  row 1: end: expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS)",
        "  row 3: label: expected a class, or different ones with | between them",
    ]
    write(folder, {"video": [True], "end": [1.0]})
    with pytest.raises(InputError) as caught:
        opened(folder)
    assert caught.value.details == ("  row 1: video: expected text or a number, got 'True'",)


def test_files_of_another_format_and_damaged_ones(folder):
    write(folder, {"video": ["a.mp4"] * 3})
    data = (folder / "t.parquet").read_bytes()
    (folder / "t.parquet").write_bytes(b"video\na.mp4\n")
    with pytest.raises(InputError) as caught:
        opened(folder)
    assert caught.value.details[0].startswith("  line 1: expected a Parquet file, got something else: ")
    (folder / "t.parquet").write_bytes(data[:4] + b"\xff" * 40 + data[44:])
    with pytest.raises(InputError) as caught:
        opened(folder)
    assert "the file is damaged" in caught.value.details[0]


def test_without_pyarrow_one_sentence_tells_how_to_install_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (folder / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r'pip install "embedonce\[parquet\]", or save the table as CSV'):
        opened(folder)
