"""The text of a typed value, as it would be written in a CSV file."""

from typing import Any

from embedonce.pipeline.sources.manifest.cell_values import LABEL_SEPARATOR
from embedonce.pipeline.sources.manifest.line_problems import shown


def text_of(column: str, value: Any) -> str:
    """The text of a value; that of a list has separators between its entries, that of None is empty.

    ValueError if it is no text, number or list of texts.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if type(value) is list and all(isinstance(entry, str) for entry in value):
        return LABEL_SEPARATOR.join(value)
    raise ValueError(f"{column}: expected text or a number, got {shown(str(value))}")
