"""Confusion matrices: which classes to show, and a heat map as inline SVG. Pure: counts in, markup out."""

from collections.abc import Iterable, Sequence
from html import escape

from embedonce.pipeline.reporting.html.charts import svg

MAX_CLASSES = 30  # in one heat map
CELL, TOP, LETTER = 26, 22, 6.7  # side of a cell, height of the column numbers, width of a letter, in SVG units
MAX_NAME = 24  # characters of a class name

Confusion = Iterable[Sequence[int]]  # (true class, predicted class, clips) of pairs that occur


def most_confused(confusions: Sequence[Confusion], num_classes: int, most: int = MAX_CLASSES) -> list[int]:
    """At most `most` class numbers in rising order: those in most confusions, in all matrices together.

    Ties go to the lower class number.
    """
    if num_classes <= most:
        return list(range(num_classes))
    confused = [0] * num_classes
    for true, predicted, clips in (entry for confusion in confusions for entry in confusion):
        if true != predicted:
            confused[true] += clips
            confused[predicted] += clips
    return sorted(sorted(range(num_classes), key=lambda c: (-confused[c], c))[:most])


def frequent_confusions(confusion: Confusion, most: int) -> list[tuple[int, int, int]]:
    """(true class, predicted class, clips) of the most frequent mistakes, in falling order."""
    mistakes = [(true, predicted, clips) for true, predicted, clips in confusion if true != predicted]
    return sorted(mistakes, key=lambda entry: (-entry[2], *entry[:2]))[:most]


def heat_map(title: str, confusion: Confusion, shown: Sequence[int], classes: Sequence[str]) -> str:
    """One row per true class, one column per predicted class; every cell that is not empty shows its count.

    Darkness is the share of all clips of the true class, including those predicted as classes that are not shown.
    Columns are labeled with the class numbers that the rows have, too.
    """
    place = {number: i for i, number in enumerate(shown)}
    totals: dict[int, int] = {}
    for true, _, clips in confusion:
        totals[true] = totals.get(true, 0) + clips
    side, names = CELL * len(shown), [f"{shortened(classes[number])} {number}" for number in shown]
    left = 12 + round(LETTER * max(map(len, names)))
    parts = [_frame(left, side, len(shown))]
    for i, number in enumerate(shown):
        middle = CELL * (i + 0.5)
        parts.append(
            f'<text text-anchor="end" x="{left - 6}" y="{TOP + middle + 4}"><title>{escape(classes[number])}</title>'
            f"{escape(names[i])}</text>"
            f'<text class="dim" text-anchor="middle" x="{left + middle}" y="{TOP - 7}">{number}</text>'
        )
    for true, predicted, clips in confusion:
        if true in place and predicted in place:
            is_right = true == predicted
            pair = f"{classes[true]}: correct" if is_right else f"{classes[true]} predicted as {classes[predicted]}"
            text = f"{pair}, {clips} of {totals[true]} clips"
            x, y = left + CELL * place[predicted], TOP + CELL * place[true]
            parts.append(_cell(x, y, clips, clips / totals[true], text, is_right))
    right = sum(clips for true, predicted, clips in confusion if true == predicted)
    alt = f"{title}: {right} of {sum(totals.values())} clips correct"
    return svg(left + side + 2, TOP + side + 2, alt, "".join(parts))


def shortened(name: str) -> str:
    """A name that fits next to a heat map."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _frame(left: int, side: int, count: int) -> str:
    """The border and the lines between cells."""
    border = f'<rect class="own" x="{left}" y="{TOP}" width="{side}" height="{side}"/>'
    lines = "".join(f"M{left} {TOP + CELL * i}h{side}M{left + CELL * i} {TOP}v{side}" for i in range(1, count))
    return border + f'<path class="grid" d="{lines}"/>'


def _cell(x: int, y: int, clips: int, share: float, title: str, is_right: bool) -> str:
    box = f'x="{x + 0.5}" y="{y + 0.5}" width="{CELL - 1}" height="{CELL - 1}"'
    strong = " over" if share > 0.84 else ""  # text in the page's color would be unreadable
    weight = ' font-weight="700"' if is_right else ""
    return (
        f'<g><title>{escape(title)}</title><rect class="cell" fill-opacity="{0.06 + 0.94 * share:.2f}" {box}/>'
        f'<text class="count{strong}"{weight} x="{x + CELL / 2}" y="{y + CELL / 2 + 4}">{clips}</text></g>'
    )
