"""Accuracy, confusions and calibration by class. Pure: results in, markup out."""

from collections.abc import Sequence
from html import escape

from embedonce.pipeline.metrics.calibration import NUM_BINS
from embedonce.pipeline.metrics.results_schema import ClassResults, Confusion, EvaluationResults
from embedonce.pipeline.reporting.html.charts import reliability_diagram
from embedonce.pipeline.reporting.html.heat_map import MAX_CLASSES, frequent_confusions, heat_map, most_confused
from embedonce.pipeline.reporting.html.markup import NOT_APPLICABLE, number, percent, table

OPEN_ROWS = 30  # of the table of classes; more are collapsed
MAX_CONFUSIONS = 12  # in the list of the most frequent ones
NO_LABELS = "<p>There are no labeled clips, or no classes.</p>"


def per_class_table(per_class: list[ClassResults]) -> str:
    """Classes by rising accuracy or average precision of the student; those beyond OPEN_ROWS are collapsed."""
    if not per_class:
        return "<p>There are no labeled clips.</p>"
    is_precision = any(entry.average_precision is not None for entry in per_class)
    figures = [(entry, *_figures(entry, is_precision)) for entry in per_class]
    figures.sort(key=lambda shown: (shown[1], -shown[0].clips, shown[0].class_name))
    rows = [
        (escape(entry.class_name), entry.clips, percent(theirs), percent(ours), _bar(ours, theirs))
        for entry, ours, theirs in figures
    ]
    what = "Average precision" if is_precision else "Top-1 accuracy"
    head = ("class", "clips", "teacher", "student", "line: teacher, bar: student")
    first = table(head, rows[:OPEN_ROWS], f"{what} by class, from the student's worst to its best", "bars")
    if len(rows) <= OPEN_ROWS:
        return first
    rest = table(head, rows[OPEN_ROWS:], "The student's better classes", "bars")
    return f"{first}<details><summary>{len(rows) - OPEN_ROWS} more classes</summary>{rest}</details>"


def _figures(entry: ClassResults, is_precision: bool) -> tuple[float, float | None]:
    """The student's and the teacher's figure of one class."""
    if is_precision:
        return entry.average_precision or 0.0, entry.teacher_average_precision
    return entry.top1 or 0.0, entry.teacher_top1


def _bar(student: float, teacher: float | None) -> str:
    """The student's figure as a hatched bar, the teacher's as a vertical line across it."""
    width = 120
    tick = "" if teacher is None else f'<path class="tick" d="M{1.5 + teacher * (width - 3):.1f} 0V14"/>'
    size = f'width="{width}" height="14" viewBox="0 0 {width} 14" preserveAspectRatio="none"'
    return (
        f'<svg class="bar student" {size} aria-hidden="true"><rect class="track" y="2" width="{width}" height="10"/>'
        f'<rect class="block" y="2" width="{student * width:.1f}" height="10"/>{tick}</svg>'
    )


def confusion_section(confusion: Confusion, classes: Sequence[str]) -> str:
    """A heat map for each model, and the student's most frequent mistakes."""
    models = {"teacher": confusion.teacher, "student": confusion.student}
    models = {name: entries for name, entries in models.items() if entries}
    if not models:
        return NO_LABELS
    shown = most_confused(list(models.values()), len(classes))
    text = (
        "Rows are true classes, columns predicted classes, by number. Darker cells hold a larger share of the row's "
        "clips; correct counts are bold."
    )
    if len(shown) < len(classes):
        text += f" Only the {MAX_CLASSES} of {len(classes)} classes with the most confusions are shown."
    maps = "".join(
        f"<figure><h3>{name}</h3>{_wide(name, heat_map(f'Confusions of the {name}', entries, shown, classes))}</figure>"
        for name, entries in models.items()
    )
    layout = "row" if len(shown) <= 14 else "stack"
    return f'<p>{text}</p><div class="{layout} maps">{maps}</div>{_frequent(confusion, classes)}'


def _wide(model: str, drawing: str) -> str:
    """A drawing that scrolls if it is too wide."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="confusions of the {model}">{drawing}</div>'


def _frequent(confusion: Confusion, classes: Sequence[str]) -> str:
    missing = 0 if confusion.teacher else NOT_APPLICABLE
    of_teacher = {(true, predicted): clips for true, predicted, clips in confusion.teacher}
    rows = [
        (escape(classes[true]), escape(classes[predicted]), of_teacher.get((true, predicted), missing), clips)
        for true, predicted, clips in frequent_confusions(confusion.student, MAX_CONFUSIONS)
    ]
    if not rows:
        return "<p>The student confuses no classes.</p>"
    caption = "The student's most frequent confusions, and how often the teacher makes them"
    head = ("true class", "predicted class", "teacher", "student")
    return f"<h3>Most frequent</h3>{table(head, rows, caption, 'words')}"


def reliability_section(results: EvaluationResults) -> str:
    """A reliability diagram for each model that has confidences."""
    figures = []
    for name, model in (("teacher", results.teacher), ("student", results.student)):
        if model.reliability:
            caption = f"calibration error (ECE) {number(model.calibration_error, '.3f')}"
            diagram = reliability_diagram(f"Reliability of the {name}", model.reliability, NUM_BINS, name)
            figures.append(f"<figure><h3>{name}</h3>{diagram}<figcaption>{caption}</figcaption></figure>")
    if not figures:
        return NO_LABELS
    text = (
        "The height of a block is the accuracy of the clips in that bin of confidence; a disc is at their mean "
        "confidence, and larger for more clips. Perfectly calibrated models lie on the diagonal."
    )
    return f'<p>{text}</p><div class="row">{"".join(figures)}</div>'
