"""Escaping text from outside (file names, class names, annotations, metadata) before it is shown.

Control characters, markup and spreadsheet formulas in it have no effect. Data files (JSON, shards) keep the text
unescaped.
"""

import re
import unicodedata
from collections.abc import Iterable

_JOINERS = "\u200c\u200d"  # zero-width; needed to write Persian, Hindi and emoji
_ESCAPED_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi), surrogates, line and paragraph breaks
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA_STARTS = "=+-@|%\uff1d\uff0b\uff0d\uff20"  # the last four: full-width forms of the first
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#!|~:@$^]|^[+=-]|(?<=www)\.)")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with control, format and surrogate characters as Python escapes (`\\x1b`, `\\u202e`), except keep."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _is_control(char) else _escape(char) for char in text)


def one_line(text: object) -> str:
    """str(text) on a single line: like printable(), with line breaks and tabs escaped, too."""
    return printable(str(text), keep="")


def block(lines: Iterable[object]) -> str:
    """The lines joined by line breaks; line breaks inside a line are escaped."""
    return "\n".join(map(one_line, lines))


def csv_cell(value: object) -> object:
    """A value for a CSV file: text that a spreadsheet would evaluate as a formula gets an apostrophe in front.

    Numbers and None are returned unchanged.
    """
    if not isinstance(value, str):
        return value
    if value[:1] in ("\t", "\r", "\n") or value.lstrip()[:1] in tuple(_FORMULA_STARTS):
        return f"'{value}"
    return value


def markdown(text: object) -> str:
    """Text for a paragraph, heading or table cell of Markdown, with all markup characters escaped."""
    escaped = _MARKDOWN.sub(r"\\\1", one_line(text))
    return "".join(_HTML.get(char, char) for char in escaped)


def markdown_code(text: object) -> str:
    """Text as a Markdown code span, fenced by more backquotes than any run of backquotes in it."""
    line = one_line(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    padding = " " if "`" in line or not line.strip() else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def _is_control(char: str) -> bool:
    return char not in _JOINERS and unicodedata.category(char) in _ESCAPED_CATEGORIES


def _escape(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
