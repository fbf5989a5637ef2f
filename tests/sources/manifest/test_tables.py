"""Tables in files: what the readers of CSV, TSV and JSON lines yield, with which line numbers."""

import csv
import io
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.formats import open_table
from embedonce.pipeline.sources.manifest.table import TableError
from embedonce.pipeline.sources.manifest.text_lines import MAX_LINE

WANTED = ("video", "label")


def read(path: Path, data: bytes | str) -> list:
    """Rows (line, cells) and, as text, what was wrong: a bad row as `line: message`, the end as `line! message`."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    found: list = []
    try:
        table = open_table(path, WANTED, lambda line, message: found.append(f"{line}: {message}"))
        found.extend(table.rows)
    except TableError as error:
        found.append(f"{error.line}! {error}")
    return found


@pytest.fixture
def csv_file(tmp_path) -> Path:
    return tmp_path / "t.csv"


A = {"video": "a", "label": "x"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(csv_file, delimiter, end):
    lines = [delimiter.join(row) for row in (("video", "label"), ("a", "x"), ("b", "y"))]
    assert read(csv_file, end.join(lines)) == [(2, A), (3, {"video": "b", "label": "y"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(csv_file, encoding):
    assert read(csv_file, "video,label\nü,写字\n".encode(encoding)) == [(2, {"video": "ü", "label": "写字"})]


def test_the_line_of_what_is_no_text(csv_file):
    for end in ("\n", "\r\n", "\r"):
        many = f"a,x{end}" * 17_000  # beyond the blocks that are read
        found = read(csv_file, f"video,label{end}{many}".encode() + b"caf\xe9,y\n")
        assert found[-1].startswith("17002! expected UTF-8 text (or UTF-16 with a byte order mark), got the byte 0xe9")
    assert read(csv_file, "video\na\n".encode("utf-32"))[0].startswith("1! expected UTF-8 text, got UTF-32")
    assert read(csv_file, "video\na\n".encode("utf-16") + b"\x41")[-1].startswith("3! expected UTF-8 text")


def test_records_are_numbered_by_the_line_that_they_begin_on(csv_file):
    found = read(csv_file, '\n \nVideo , LABEL\n\n"a\nb","x ""y"""\n,\n\nc,z\n')
    assert found == [(5, {"video": "a\nb", "label": 'x "y"'}), (9, {"video": "c", "label": "z"})]


def test_rows_of_another_width_are_left_out_and_reported(csv_file):
    wide = "3: expected 2 cells, as in the header line, got 3: quote text that contains the delimiter"
    found = read(csv_file, "video,label\na,x\na,x,y\na\na,x\n")
    assert found == [(2, A), wide, "4: expected 2 cells, as in the header line, got 1", (5, A)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "1! expected a line with the names of the columns, got an empty file"),
        ("\n\n", "1! expected a line with the names of the columns, got an empty file"),
        ("\nvideo, Video\n", "2! the column 'video' is there twice: rename or remove one of the two"),
        ('video,label\na,"x\nb,y\n', "2! unexpected end of data: is a quotation mark missing, or one too many?"),
        ('video,label\na,"x"y\n', "2! ',' expected after '\"': is a quotation mark missing, or one too many?"),
        (
            'video,label\na,"' + "x\n" * 100_000,
            "2! field larger than field limit (131072): is a quotation mark missing",
        ),
        ("video,label\n" + "x" * (MAX_LINE + 1), f"2! the line has more than {MAX_LINE} characters"),
    ],
)
def test_where_reading_ends(csv_file, data, message):
    (found,) = read(csv_file, data)
    assert found.startswith(message)


def test_columns_without_names_are_allowed(csv_file):
    assert read(csv_file, ",video,\n0,a,\n") == [(2, {"": "", "video": "a"})]


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
CELLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), delimiter=st.sampled_from(",;\t"), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
       end=st.sampled_from(["\n", "\r\n"]), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))  # fmt: skip
def test_whatever_the_csv_module_writes_is_read_as_it_was(data, delimiter, quoting, end, encoding):
    names = [n.casefold() for n in data.draw(st.lists(NAMES, min_size=2, max_size=4, unique_by=str.casefold))]
    names = [name for name in dict.fromkeys(names) if not set(",;\t") & set(name)] + ["video", "label"]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=5))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if quoting == csv.QUOTE_MINIMAL:  # which leaves CR unquoted
        rows = [[cell.replace("\r", "-") for cell in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([names, *rows])
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder) / "t.csv", text.getvalue().encode(encoding))
    assert [cells for _, cells in found] == [dict(zip(names, row, strict=True)) for row in rows]
    assert [line for line, _ in found] == sorted({line for line, _ in found})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.fixed_dictionaries({"video": CELLS, "label": CELLS, "other": st.integers()}), max_size=5))
def test_whatever_the_json_module_writes_is_read_as_it_was(rows):
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder) / "t.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert found == [(i, {"video": row["video"], "label": row["label"]}) for i, row in enumerate(rows, 1)]


def test_json_lines_that_are_no_rows_are_reported(tmp_path):
    path = tmp_path / "t.jsonl"
    found = read(path, '{"video": "a", "label": "x"}\n\n[1]\n{"video": "a"\n"a"\n{"video": {}}\n' + "[" * 10**5)
    assert found[0] == (1, A)
    assert [line.partition(" got ")[0] for line in found[1:]] == [
        *("3: expected a JSON object,", "4: expected a JSON object,", "5: expected a JSON object,"),
        *("6: video: expected text or a number,", "7: expected a JSON object,"),
    ]
    assert read(path, '{"video": "a", "VIDEO": "b"}') == [
        "1: the column 'video' is there twice: rename or remove one of the two"
    ]
    assert read(path, '[{"video": "a"}]')[0].startswith("1! expected one JSON object per line, got a list")


def test_files_that_are_no_tables_are_refused_in_one_sentence(tmp_path):
    def refused(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            open_table(path, WANTED, lambda line, message: None)
        return str(caught.value)

    (tmp_path / "a.csv").mkdir()
    for suffix in (".jsonl", ".parquet"):
        assert (
            refused(tmp_path / f"no{suffix}")
            == f"cannot read the table {tmp_path}/no{suffix}: No such file or directory"
        )
    assert (
        refused(tmp_path / "a.csv")
        == f"{tmp_path}/a.csv is a folder, not a table: give a folder of videos with --data-dir"
    )
    assert refused(tmp_path / "no.csv") == f"cannot read the table {tmp_path}/no.csv: No such file or directory"
    assert refused(tmp_path / "a.xlsx").startswith(
        f"{tmp_path}/a.xlsx is not a table of a known format: its name must end in one of .csv"
    )
    for name in ("b.csv", "b.jsonl"):
        os.mkfifo(tmp_path / name)
        assert "is a pipe or a device" in refused(tmp_path / name)
