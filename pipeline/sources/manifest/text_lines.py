"""The lines of a text file, decoded one at a time: UTF-8, or UTF-16 with a byte order mark."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from embedonce.models.plain_files import open_plain
from embedonce.pipeline.sources.manifest.table import TableError

MAX_LINE = 1 << 20  # characters
_BLOCK = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, ""),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a file, with their ends (LF, CR LF or CR).

    TableError for bytes that are no text, and for lines of more than MAX_LINE characters. OSError as open_plain().
    """
    with open_plain(path) as file:
        encoding = _encoding(file)
        text = io.TextIOWrapper(file, encoding=encoding, newline="")
        number = 0
        while True:
            number += 1
            try:
                line = text.readline(MAX_LINE + 1)
            except UnicodeError as error:
                raise TableError(_line_of_error(path, encoding), _not_text(error)) from error
            if len(line) > MAX_LINE:
                raise TableError(number, f"the line has more than {MAX_LINE} characters: this is no table of clips")
            if not line:
                return
            yield line


def _encoding(file: BinaryIO) -> str:
    head = file.read(4)
    file.seek(0)
    encoding = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")
    if not encoding:
        raise TableError(1, "expected UTF-8 text, got UTF-32: save the table as UTF-8")
    return encoding


def _not_text(error: UnicodeError) -> str:
    byte = f"the byte 0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else "other bytes"
    return f"expected UTF-8 text (or UTF-16 with a byte order mark), got {byte}: save the table as UTF-8"


def _line_of_error(path: Path, encoding: str) -> int:
    """The number of the first line that cannot be decoded."""
    decoder, ends = codecs.getincrementaldecoder(encoding)(), 0
    was_return = False
    with open_plain(path) as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                text = error.object[: error.start].decode(encoding, "ignore")
                block = b""
            ends += text.count("\n") + text.count("\r") - text.count("\r\n") - (was_return and text[:1] == "\n")
            was_return = text.endswith("\r")
            if not block:
                return ends + 1
