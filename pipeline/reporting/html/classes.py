"""What went well and what was confused, class by class, and how sure both were. Pure: results in, markup out.

Knows the keys of evaluation_results.json and charts; judges nothing anew.
"""

from html import escape

from embedonce.pipeline.reporting.html.charts import reliability_diagram
from embedonce.pipeline.reporting.html.heat_map import MOST_CLASSES, frequent_confusions, heat_map, most_confused
from embedonce.pipeline.reporting.html.markup import NOT_APPLICABLE, number, percent, table

NUM_BINS = 15  # of equal width, as the calibration error has them
OPEN_ROWS = 30  # of the table of classes: more are folded away
MOST_CONFUSIONS = 12  # in the list of the most frequent ones
SIDES = ("teacher", "student")


def per_class_table(per_class: list[dict]) -> str:
    """The worst class of the student first; beyond OPEN_ROWS folded."""
    if not per_class:
        return "<p>There are no labeled clips.</p>"
    worst_first = sorted(per_class, key=lambda entry: (entry["top1"], -entry["clips"], entry["class"]))
    rows = [
        (escape(entry["class"]), entry["clips"], *map(percent, (entry["teacher_top1"], entry["top1"])), _bar(entry))
        for entry in worst_first
    ]
    head = ("class", "clips", "teacher", "student", "line: teacher, bar: student")
    first = table(head, rows[:OPEN_ROWS], "Top-1 accuracy of each class, the student's worst first", "bars")
    if len(rows) <= OPEN_ROWS:
        return first
    rest = table(head, rows[OPEN_ROWS:], "The student's better classes", "bars")
    return f"{first}<details><summary>{len(rows) - OPEN_ROWS} more classes</summary>{rest}</details>"


def _bar(entry: dict) -> str:
    """The student's accuracy as a hatched bar, the teacher's as an upright line across it."""
    width, teacher = 120, entry["teacher_top1"]
    tick = "" if teacher is None else f'<path class="tick" d="M{1.5 + teacher * (width - 3):.1f} 0V14"/>'
    size = f'width="{width}" height="14" viewBox="0 0 {width} 14" preserveAspectRatio="none"'
    return (
        f'<svg class="bar student" {size} aria-hidden="true"><rect class="track" y="2" width="{width}" height="10"/>'
        f'<rect class="block" y="2" width="{entry["top1"] * width:.1f}" height="10"/>{tick}</svg>'
    )


def confusion_section(confusion: dict[str, list], classes: list[str]) -> str:
    """A heat map of each side and the most frequent mistakes."""
    there = {side: confusion[side] for side in SIDES if confusion[side]}
    if not there:
        return "<p>There are no labeled clips, or nobody named classes.</p>"
    shown = most_confused(list(there.values()), len(classes))
    words = (
        "Rows are true classes, columns what they were taken for, by number. The stronger the color, the larger "
        "the share of the row's clips; bold counts are right."
    )
    if len(shown) < len(classes):
        words += f" Shown are the {MOST_CLASSES} of {len(classes)} classes that take part in most confusions."
    maps = "".join(
        f"<figure><h3>{side}</h3>{_wide(side, heat_map(f'Confusions of the {side}', entries, shown, classes))}</figure>"
        for side, entries in there.items()
    )
    kind = "row" if len(shown) <= 14 else "stack"
    return f'<p>{words}</p><div class="{kind} maps">{maps}</div>{_frequent(confusion, classes)}'


def _wide(side: str, drawing: str) -> str:
    return f'<div class="wide" tabindex="0" role="region" aria-label="confusions of the {side}">{drawing}</div>'


def _frequent(confusion: dict[str, list], classes: list[str]) -> str:
    missing = 0 if confusion["teacher"] else NOT_APPLICABLE
    of_teacher = {(true, said): clips for true, said, clips in confusion["teacher"]}
    rows = [
        (escape(classes[true]), escape(classes[said]), of_teacher.get((true, said), missing), clips)
        for true, said, clips in frequent_confusions(confusion["student"], MOST_CONFUSIONS)
    ]
    if not rows:
        return "<p>The student confuses no classes.</p>"
    caption = "The student's most frequent confusions, and how often the teacher makes them"
    head = ("true class", "taken for", "teacher", "student")
    return f"<h3>Most frequent</h3>{table(head, rows, caption, 'words')}"


def reliability_section(results: dict) -> str:
    """Whether confidences can be believed, for each side that has any."""
    figures = []
    for side in SIDES:
        bins = [(entry["confidence"], entry["accuracy"], entry["clips"]) for entry in results[side]["reliability"]]
        if bins:
            error = results[side]["calibration_error"]
            told = f"calibration error (ECE) {number(error, '.3f')}"
            diagram = reliability_diagram(f"Reliability of the {side}", bins, NUM_BINS, side)
            figures.append(f"<figure><h3>{side}</h3>{diagram}<figcaption>{told}</figcaption></figure>")
    if not figures:
        return "<p>There are no labeled clips, or nobody named classes.</p>"
    words = (
        "A block is as high as the share of clips in that bin of confidence that are right; a disc lies at their mean "
        "confidence and is larger where there are more clips. On the diagonal confidences mean what they say."
    )
    return f'<p>{words}</p><div class="row">{"".join(figures)}</div>'
