"""report.html: an evaluation as one file to read, print and send, which asks for nothing from anywhere.

Knows the order of the parts and the keys of evaluation_results.json (schema version 2); figures come from elsewhere.
"""

from collections.abc import Sequence
from html import escape

from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.reporting.html.charts import HATCH
from embedonce.pipeline.reporting.html.choice import Choice, choose, who_is_right
from embedonce.pipeline.reporting.html.classes import confusion_section, per_class_table, reliability_section
from embedonce.pipeline.reporting.html.comparison import comparison_table, headline
from embedonce.pipeline.reporting.html.curves import training_section
from embedonce.pipeline.reporting.html.examples import Example, cards, example
from embedonce.pipeline.reporting.html.markup import page, percent, section
from embedonce.pipeline.reporting.html.style import STYLE

NUM_EXAMPLES = 8  # best ones, and as many worst ones
METHODS = (
    "Top-1 and top-5: the label is the first, or among the first five. The student's logits are of the clip, the "
    "teacher's the mean of those of the clip's frames.",
    "Intervals: 95 %, over recordings (jackknife, Student's t); none of fewer than 6, rough up to 20. The difference "
    "of student and teacher is paired by clip.",
    "Calibration error: mean gap between confidence and accuracy over 15 bins of equal width, weighed by clips.",
    "KL divergence: of the student from the teacher at temperature 1, mean over clips; cosine: mean over clips.",
    "Zero-shot: the student's clip embedding against the texts of the classes, without its own head.",
    "Latency: one image to its embedding, all sides in turns in one runtime, warmed up; throughput: in batches of 32.",
    "Teachers are timed with random weights, on which speed does not depend; multiply-adds are counted, not timed.",
    "Peak memory: weights, and the tensors that are alive at once while PyTorch takes one image through.",
)


def report(results: dict, found: Predictions, dataset: ClipDataset, training_log: str | None) -> bytes:
    """The report as a file's bytes.

    results: what evaluation_results.json holds, schema version 2. found: what student and teacher say of the clips of
    dataset, in its order. training_log: the text of train_log.csv; None where there is none. DamagedError where a
    frame cannot be read.
    """
    choice = choose(found, NUM_EXAMPLES)
    worst, best = ([example(dataset, found, index) for index in which] for which in (choice.worst, choice.best))
    page = report_page(results, training_log, examples_section(choice, worst, best, results["classes"]), found)
    return page.encode("utf-8", "backslashreplace")  # names of classes may hold bytes that are no text


def report_page(results: dict, training_log: str | None, examples: str, found: Predictions) -> str:
    """The whole document. examples: the markup of its clips; the rest as in report()."""
    parts = [
        ("comparison", "Comparison", comparison_table(results)),
        ("training", "Training", training_section(training_log)),
        ("classes", "Classes", per_class_table(results["per_class"])),
        ("confusions", "Confusions", confusion_section(results["confusion"], results["classes"])),
        ("reliability", "Reliability", reliability_section(results)),
        ("clips", "Clips", _right_counts(found) + examples),
        ("method", "How the figures came about", _method(results)),
    ]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in parts)
    body = "".join(section(title, content, anchor) for anchor, title, content in parts)
    return page(_title(results), STYLE, f"{HATCH}{_head(results)}<nav>{links}</nav><main>{body}</main>")


def examples_section(choice: Choice, worst: Sequence[Example], best: Sequence[Example], classes: Sequence[str]) -> str:
    """The chosen clips under two headings, the worst first. classes: names by number."""
    words = "<p>The frames are spread evenly over each clip; the student saw these, fewer or others.</p>"
    kinds = (("Worst clips", choice.worst_by, worst), ("Best clips", choice.best_by, best))
    return words + "".join(
        f'<h3>{title}</h3><p class="faint">{by}</p>{cards(shown, classes) if shown else "<p>None.</p>"}'
        for title, by, shown in kinds
    )


def _title(results: dict) -> str:
    return f"Student {results['student']['size']} beside its teacher {results['teacher']['name']}"


def _head(results: dict) -> str:
    chance = "" if results["chance"] is None else f", chance {percent(results['chance'])}"
    majority = results.get("majority")
    chance += "" if majority is None else f", majority class {percent(majority['top1'])} ({majority['class']})"
    counts = (
        f"{results['num_clips']} {results['split']} clips of {results['num_videos']} recordings, "
        f"{results['num_labelled_clips']} of them labeled; {results['num_classes']} classes{chance}"
    )
    teacher = results["teacher"]
    compared = f"Teacher {teacher['name']} (weights {teacher['weights']}, {teacher['head']} head)"
    compared += f", student {results['student']['size']}. {counts}."
    comparable = results.get("comparable_with")
    compared += f" {comparable[:1].upper()}{comparable[1:]}." if comparable else ""
    note = f'<p class="note">Note: {escape(results["note"])}.</p>' if results["note"] else ""
    return (
        f"<header><h1>{escape(_title(results))}</h1><p>{escape(compared)}</p>"
        f'{note}<p class="headline">{escape(headline(results))}</p></header>'
    )


def _right_counts(found: Predictions) -> str:
    counts = who_is_right(found)
    if counts is None:
        return ""
    return (
        f"<p>Of {sum(counts.values())} labeled clips both are right on {counts['both']}, the student alone on "
        f"{counts['student']}, the teacher alone on {counts['teacher']}, neither on {counts['neither']}.</p>"
    )


def _method(results: dict) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in METHODS)
    facts = "".join(
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(_told(value))}</dd>"
        for name, value in results["environment"].items()
    )
    return f"<ul>{lines}</ul><h3>Environment</h3><dl>{facts}</dl>"


def _told(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_told(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value))
    return f"{value:.4g}" if isinstance(value, float) else "unknown" if value is None else str(value)
