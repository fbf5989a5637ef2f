"""report.html: an evaluation as one self-contained file, which loads nothing from elsewhere."""

from collections.abc import Sequence
from html import escape
from typing import Any

from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.results_schema import EvaluationResults
from embedonce.pipeline.reporting.html.charts import HATCH
from embedonce.pipeline.reporting.html.choice import Choice, choose, who_is_right
from embedonce.pipeline.reporting.html.classes import confusion_section, per_class_table, reliability_section
from embedonce.pipeline.reporting.html.comparison import comparison_table, headline
from embedonce.pipeline.reporting.html.curves import training_section
from embedonce.pipeline.reporting.html.examples import Example, cards, example
from embedonce.pipeline.reporting.html.markup import page, percent, section
from embedonce.pipeline.reporting.html.style import STYLE

NUM_EXAMPLES = 8  # best clips, and as many worst ones
METHODS = (
    "Top-1 and top-5 accuracy: the label is the largest logit, or among the five largest. The student's logits are "
    "those of the clip, the teacher's the mean over the clip's frames.",
    "Intervals: 95 %, clustered by recording (jackknife, Student's t); none for fewer than 6 recordings, rough up to "
    "20. The difference between student and teacher is paired by clip.",
    "Calibration error: mean gap between confidence and accuracy over 15 bins of equal width, weighted by clips.",
    "KL divergence: from the teacher's to the student's softmax at temperature 1, mean over clips. Cosine: mean over "
    "clips.",
    "Zero-shot: the student's clip embedding is classified by the nearest class text, without the student's head.",
    "Retrieval: cosines between the clip embeddings of a model and the text vectors of the teacher; all clips with the "
    "same text are relevant, and a text is a query for each of them. Equal scores are in random order.",
    "Multiple choice: a text and five clips, one of which has it, in the style of EgoMCQ (Lin et al., 2022).",
    "Latency: one image to its embedding, all models in turns in one runtime, after warm-up. Throughput: batches of "
    "32.",
    "Teachers are timed with random weights, which does not affect speed. Multiply-adds are counted.",
    "Peak memory: weights, and the tensors that exist at once while PyTorch runs one image.",
)


def report(
    results: EvaluationResults, predictions: Predictions, dataset: ClipDataset, training_log: str | None
) -> bytes:
    """The content of the report.

    predictions: for the clips of dataset, in its order. training_log: the text of train_log.csv, if there is one.
    DamagedError if a frame cannot be read.
    """
    choice = choose(predictions, NUM_EXAMPLES)
    worst, best = ([example(dataset, predictions, index) for index in which] for which in (choice.worst, choice.best))
    examples = examples_section(choice, worst, best, results.classes)
    text = report_page(results, training_log, examples, predictions)
    return text.encode("utf-8", "backslashreplace")  # class names may hold bytes that are not text


def report_page(results: EvaluationResults, training_log: str | None, examples: str, predictions: Predictions) -> str:
    """The whole document. examples: markup of the example clips; the rest as in report()."""
    parts = [
        ("comparison", "Comparison", comparison_table(results)),
        ("training", "Training", training_section(training_log)),
        ("classes", "Classes", per_class_table(results.per_class)),
        ("confusions", "Confusions", confusion_section(results.confusion, results.classes)),
        ("reliability", "Reliability", reliability_section(results)),
        ("clips", "Clips", _right_counts(predictions) + examples),
        ("method", "How the figures are computed", _method(results.environment)),
    ]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in parts)
    body = "".join(section(title, content, anchor) for anchor, title, content in parts)
    return page(_title(results), STYLE, f"{HATCH}{_head(results)}<nav>{links}</nav><main>{body}</main>")


def examples_section(choice: Choice, worst: Sequence[Example], best: Sequence[Example], classes: Sequence[str]) -> str:
    """The chosen clips under two headings, the worst first. classes: names by number."""
    text = "<p>These frames are spread evenly over each clip; the student may have been given others.</p>"
    groups = (("Worst clips", choice.worst_by, worst), ("Best clips", choice.best_by, best))
    return text + "".join(
        f'<h3>{title}</h3><p class="faint">{by}</p>{cards(shown, classes) if shown else "<p>None.</p>"}'
        for title, by, shown in groups
    )


def _title(results: EvaluationResults) -> str:
    return f"Student {results.student.size} compared with its teacher {results.teacher.name}"


def _head(results: EvaluationResults) -> str:
    chance = "" if results.chance is None else f", chance {percent(results.chance)}"
    majority = results.majority
    chance += "" if majority is None else f", majority class {percent(majority.top1)} ({majority.class_name})"
    counts = (
        f"{results.num_clips} {results.split} clips of {results.num_videos} recordings, "
        f"{results.num_labelled_clips} of them labeled; {results.num_classes} classes{chance}"
    )
    teacher = results.teacher
    summary = f"Teacher {teacher.name} (weights {teacher.weights}, {teacher.head} head)"
    summary += f", student {results.student.size}. {counts}."
    comparable = results.comparable_with
    summary += f" {comparable[:1].upper()}{comparable[1:]}." if comparable else ""
    note = f'<p class="note">Note: {escape(results.note)}.</p>' if results.note else ""
    return (
        f"<header><h1>{escape(_title(results))}</h1><p>{escape(summary)}</p>"
        f'{note}<p class="headline">{escape(headline(results))}</p></header>'
    )


def _right_counts(predictions: Predictions) -> str:
    counts = who_is_right(predictions)
    if counts is None:
        return ""
    return (
        f"<p>Of {sum(counts.values())} labeled clips, both models are right on {counts['both']}, only the student on "
        f"{counts['student']}, only the teacher on {counts['teacher']}, and neither on {counts['neither']}.</p>"
    )


def _method(environment: dict[str, Any]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in METHODS)
    entries = "".join(
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(_as_text(value))}</dd>"
        for name, value in environment.items()
    )
    return f"<ul>{lines}</ul><h3>Environment</h3><dl>{entries}</dl>"


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_as_text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_as_text, value))
    return f"{value:.4g}" if isinstance(value, float) else "unknown" if value is None else str(value)
