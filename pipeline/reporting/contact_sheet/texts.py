"""Texts of a cache on a page: escaped, without control characters, and not longer than a page can show."""

from html import escape

from embedonce.pipeline.console.printable import one_line

LONG, SHORT = 160, 60  # characters: of a path or a sentence, and of a class in a narrow place


def text(value: object, most: int = LONG) -> str:
    """A text as markup; the middle of a long one is left out."""
    line = one_line(value)
    if len(line) > most:
        line = f"{line[: most // 2]}…{line[-(most // 2 - 1) :]}"
    return escape(line)


def file_name(name: str) -> str:
    """A path as markup: its folder less prominent than its last part."""
    folder, slash, last = one_line(name).rpartition("/")
    return f'<span class="folder">{text(folder + slash)}</span>{text(last)}' if folder else text(name)


def share(probability: float) -> str:
    """A probability, in whole percent."""
    percent = f"{100 * probability:.0f}"
    return "&lt;1 %" if percent == "0" else f"{percent} %"


def seconds(value: float) -> str:
    """A time, to hundredths: 12.5 s or 12.54 s, and 1:02:03.5 from one minute on."""
    if value < 0:
        return f"−{seconds(-value)}"
    minutes, rest = divmod(round(100 * value), 6000)
    if minutes == 0:
        return f"{rest / 100:.2f}".removesuffix("0") + " s"
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{whole}:{rest / 100:05.2f}".removesuffix("0")


def span(start: float, end: float) -> str:
    """A time, or the first and last of several."""
    return seconds(start) if end - start < 0.005 else f"{seconds(start)} to {seconds(end)}"


def size(num_bytes: int) -> str:
    """12.3 MB, or in GB or TB if there are 1,000 or more."""
    value, units = num_bytes / 1e6, ["MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.1f} {units[0]}"


def counted(count: int, noun: str) -> str:
    """1 frame, 2,000 frames."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
