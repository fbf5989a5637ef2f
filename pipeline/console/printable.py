"""Text from outside (file names, class names, annotations, metadata) as it may be shown: nothing in it takes effect.

Pure: text in, text out. Files of data (JSON, shards) hold the text as it is and never pass through here.
"""

import re
import unicodedata
from collections.abc import Iterable

_JOINERS = "\u200c\u200d"  # zero-width, and part of how Persian, Hindi and emoji are written
_ESCAPED_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi), surrogates, line and paragraph breaks
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA_STARTS = "=+-@|%\uff1d\uff0b\uff0d\uff20"  # the last four: full-width forms of the first
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#!|~:@$^]|^[+=-]|(?<=www)\.)")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with control, format and surrogate characters as Python escapes (`\\x1b`, `\\u202e`), but for keep."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _takes_effect(char) else _escape(char) for char in text)


def one_line(text: object) -> str:
    """str(text) on a single line: line breaks are escaped, too."""
    return printable(str(text), keep="")


def block(lines: Iterable[object]) -> str:
    """Lines below each other: the only line breaks are those between them."""
    return "\n".join(map(one_line, lines))


def csv_cell(value):
    """A value for a CSV file that a spreadsheet will not compute: text that reads as a formula gets an apostrophe.

    Numbers and None are returned as they are.
    """
    if not isinstance(value, str):
        return value
    if value[:1] in ("\t", "\r", "\n") or value.lstrip()[:1] in tuple(_FORMULA_STARTS):
        return f"'{value}"
    return value


def markdown(text: object) -> str:
    """Text for Markdown, in a paragraph, a heading or a table: its characters are shown, and none is markup."""
    escaped = _MARKDOWN.sub(r"\\\1", one_line(text))
    return "".join(_HTML.get(char, char) for char in escaped)


def markdown_code(text: object) -> str:
    """Text as a Markdown code span, fenced by more backquotes than it holds in a row."""
    line = one_line(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    padding = " " if "`" in line or not line.strip() else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def _takes_effect(char: str) -> bool:
    return char not in _JOINERS and unicodedata.category(char) in _ESCAPED_CATEGORIES


def _escape(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
