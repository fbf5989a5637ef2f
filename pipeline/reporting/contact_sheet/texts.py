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
    """A time: 12.5 s, or 1:02:03.5 from one minute on."""
    minutes, rest = divmod(round(value, 1), 60)
    if minutes < 1:
        return f"{value:.1f} s"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def span(start: float, end: float) -> str:
    """A time, or the first and last of several."""
    return seconds(start) if end - start < 0.05 else f"{seconds(start)} to {seconds(end)}"


def counted(count: int, noun: str) -> str:
    """1 frame, 2,000 frames."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
