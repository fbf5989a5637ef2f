"""The contents of evaluation_results.json as dataclasses; docs/evaluation.md says what each figure means.

Every field declares the form of its JSON value. Fields are stored under their own names, but for `class` and `from`,
which Python reserves.
"""

from dataclasses import dataclass, field
from typing import Any

from embedonce.cache.limits import MAX_CLASSES, MAX_NAME
from embedonce.pipeline.metrics.json_forms import Number, OrNull, Text
from embedonce.pipeline.metrics.results_json import as_json, form, from_json, schema_of

SCHEMA_VERSION = 1
RESULTS_NAME = "evaluation_results.json"
PREDICTIONS_NAME = "predictions.npz"

COUNT = Number(0, 2**62, int)
SHARE = Number(0, 1.001)  # sums of rounded numbers may exceed 1
AMOUNT = Number(0, 1e300)
POINTS = Number(-100.1, 100.1)
RATE = OrNull(SHARE)
INTERVAL = OrNull((SHARE, SHARE))
NAME = Text(MAX_NAME)
REMARK = Text(10_000)

Interval = tuple[float, float]
ConfusionEntry = tuple[int, int, int]  # true class, predicted class, clips


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image at a time."""

    p50_ms: float = field(metadata=form(AMOUNT))
    p95_ms: float = field(metadata=form(AMOUNT))


@dataclass(frozen=True)
class Costs:
    """What running an image model costs; None if it was not measured. throughput_per_s: images; macs: of one image."""

    latency_ms: Latency | None = field(metadata=form(OrNull(Latency)))
    throughput_per_s: float | None = field(metadata=form(OrNull(AMOUNT)))
    macs: int | None = field(metadata=form(OrNull(COUNT)))
    peak_memory_bytes: int | None = field(metadata=form(OrNull(COUNT)))


@dataclass(frozen=True)
class Sizes:
    """Parameters or bytes, of the image encoder and of the whole model."""

    image: int = field(metadata=form(COUNT))
    total: int = field(metadata=form(COUNT))


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean confidence and accuracy of the clips in one bin of confidence."""

    confidence: float = field(metadata=form(SHARE))
    accuracy: float = field(metadata=form(SHARE))
    clips: int = field(metadata=form(COUNT))


@dataclass(frozen=True)
class Accuracies:
    """A model's accuracies on labeled clips, from 0 to 1; None without labels. Intervals: 95 %.

    The mean average precisions (over classes, and micro: of all pairs of clip and class) have values only if clips have
    several labels, and the others only if they have one.
    """

    top1: float | None = field(metadata=form(RATE))
    top5: float | None = field(metadata=form(RATE))
    mean_class_accuracy: float | None = field(metadata=form(RATE))
    top1_interval: Interval | None = field(metadata=form(INTERVAL))
    mean_class_interval: Interval | None = field(metadata=form(INTERVAL))
    mean_average_precision: float | None = field(metadata=form(RATE))
    map_interval: Interval | None = field(metadata=form(INTERVAL))
    micro_average_precision: float | None = field(metadata=form(RATE))
    calibration_error: float | None = field(metadata=form(RATE))
    reliability: list[ReliabilityBin] = field(metadata=form([ReliabilityBin]))


@dataclass(frozen=True)
class TeacherResults(Costs, Accuracies):
    """The teacher's figures. weights: open_clip's tag; head: the kind of label set; input_size: pixels."""

    name: str = field(metadata=form(NAME))
    weights: str = field(metadata=form(NAME))
    head: str = field(metadata=form(NAME))
    parameters: Sizes = field(metadata=form(Sizes))
    bytes_on_disk: Sizes = field(metadata=form(Sizes))
    input_size: int = field(metadata=form(COUNT))


@dataclass(frozen=True)
class StudentResults(Costs, Accuracies):
    """The student's figures. parameters: `deployed`, `training` and one entry per part; input_size: pixels."""

    size: str = field(metadata=form(NAME))
    zero_shot_top1: float | None = field(metadata=form(RATE))
    parameters: dict[str, int] = field(metadata=form({"deployed": COUNT, "training": COUNT, ...: COUNT}))
    bytes_on_disk: Sizes = field(metadata=form(Sizes))
    input_size: int = field(metadata=form(COUNT))


@dataclass(frozen=True)
class Reference(Costs):
    """A common teacher that was only timed. latency_ratio: its p50 / the student's."""

    name: str = field(metadata=form(NAME))
    parameters: int = field(metadata=form(COUNT))
    bytes_on_disk: int = field(metadata=form(COUNT))
    input_size: int = field(metadata=form(COUNT))
    latency_ratio: float = field(metadata=form(AMOUNT))


@dataclass(frozen=True)
class Comparison:
    """The student compared with the teacher, over all clips or (…_drop_…, in points) over labeled ones."""

    accuracy_drop_points: float | None = field(metadata=form(OrNull(POINTS)))
    accuracy_drop_interval: Interval | None = field(metadata=form(OrNull((POINTS, POINTS))))
    map_drop_points: float | None = field(metadata=form(OrNull(POINTS)))
    map_drop_interval: Interval | None = field(metadata=form(OrNull((POINTS, POINTS))))
    compression: float = field(metadata=form(AMOUNT))
    agreement: float | None = field(metadata=form(RATE))
    agreement_top5: float | None = field(metadata=form(RATE))
    agreement_interval: Interval | None = field(metadata=form(INTERVAL))
    kl_divergence: float | None = field(metadata=form(OrNull(Number(-1e-3, 1e300))))
    embedding_cosine: float = field(metadata=form(Number(-1.001, 1.001)))
    latency_ratio: float | None = field(metadata=form(OrNull(AMOUNT)))


@dataclass(frozen=True)
class Majority:
    """Always predicting one class. source: `train` or `judged`, the clips whose most frequent class it is."""

    class_name: str = field(metadata=form(NAME, "class"))
    top1: float = field(metadata=form(SHARE))
    mean_class_accuracy: float = field(metadata=form(SHARE))
    source: str = field(metadata=form(NAME, "from"))


@dataclass(frozen=True)
class VerbNounAccuracy:
    """Shares of clips for which the verb, the noun, or both were predicted; None for a model without logits."""

    verb: float | None = field(metadata=form(RATE))
    noun: float | None = field(metadata=form(RATE))
    both: float | None = field(metadata=form(RATE))


@dataclass(frozen=True)
class VerbNoun:
    """Accuracies on the clips that have a verb and a noun. label_sets: names, verbs first."""

    label_sets: tuple[str, str] = field(metadata=form((NAME, NAME)))
    num_clips: int = field(metadata=form(COUNT))
    teacher: VerbNounAccuracy = field(metadata=form(VerbNounAccuracy))
    student: VerbNounAccuracy = field(metadata=form(VerbNounAccuracy))


@dataclass(frozen=True)
class RetrievalScores:
    """How a model finds what is relevant. Recalls: shares of queries. median_rank: of the first relevant, from 1."""

    recall_at_1: float = field(metadata=form(SHARE))
    recall_at_1_interval: Interval | None = field(metadata=form(INTERVAL))
    recall_at_5: float = field(metadata=form(SHARE))
    recall_at_5_interval: Interval | None = field(metadata=form(INTERVAL))
    median_rank: float = field(metadata=form(AMOUNT))
    mean_average_precision: float = field(metadata=form(SHARE))
    map_interval: Interval | None = field(metadata=form(INTERVAL))


@dataclass(frozen=True)
class Retrieval:
    """One direction of retrieval. candidates: that each query is compared with. chance…: recalls of random orders."""

    candidates: int = field(metadata=form(COUNT))
    chance_at_1: float = field(metadata=form(SHARE))
    chance_at_5: float = field(metadata=form(SHARE))
    teacher: RetrievalScores = field(metadata=form(RetrievalScores))
    student: RetrievalScores = field(metadata=form(RetrievalScores))
    recall_at_1_drop_points: float = field(metadata=form(POINTS))
    recall_at_1_drop_interval: Interval | None = field(metadata=form(OrNull((POINTS, POINTS))))


@dataclass(frozen=True)
class MultipleChoice:
    """Shares of questions "which of these clips has this text?" that are answered correctly."""

    questions: int = field(metadata=form(COUNT))
    chance: float = field(metadata=form(SHARE))
    teacher: float = field(metadata=form(SHARE))
    teacher_interval: Interval | None = field(metadata=form(INTERVAL))
    student: float = field(metadata=form(SHARE))
    student_interval: Interval | None = field(metadata=form(INTERVAL))
    drop_points: float = field(metadata=form(POINTS))
    drop_interval: Interval | None = field(metadata=form(OrNull((POINTS, POINTS))))


@dataclass(frozen=True)
class TextRetrieval:
    """Clips and their texts. inter_video: choices of different recordings, intra_video: of one; None without any."""

    num_clips: int = field(metadata=form(COUNT))
    num_texts: int = field(metadata=form(COUNT))
    text_to_video: Retrieval = field(metadata=form(Retrieval))
    video_to_text: Retrieval = field(metadata=form(Retrieval))
    inter_video: MultipleChoice | None = field(metadata=form(OrNull(MultipleChoice)))
    intra_video: MultipleChoice | None = field(metadata=form(OrNull(MultipleChoice)))


@dataclass(frozen=True)
class ClassResults:
    """One class: its labeled clips, and the accuracy of the student and of the teacher on them.

    If clips have several labels, the average precision of the class takes the place of its accuracy.
    """

    class_name: str = field(metadata=form(NAME, "class"))
    clips: int = field(metadata=form(COUNT))
    top1: float | None = field(metadata=form(RATE))
    teacher_top1: float | None = field(metadata=form(RATE))
    average_precision: float | None = field(metadata=form(RATE))
    teacher_average_precision: float | None = field(metadata=form(RATE))


@dataclass(frozen=True)
class Confusion:
    """Counts of labeled clips by true and predicted class, only those above 0."""

    teacher: list[ConfusionEntry] = field(metadata=form([(COUNT, COUNT, COUNT)]))
    student: list[ConfusionEntry] = field(metadata=form([(COUNT, COUNT, COUNT)]))


@dataclass(frozen=True)
class Calibrated:
    """The student with the temperature of its checkpoint, on labeled clips: without it (…_before) and with it.

    temperature: None if there is none. num_selection_clips: labeled ones, which it was fitted to; None if unknown.
    reason: why figures are missing, else None. The calibration error is None if clips have several labels.
    """

    temperature: float | None = field(metadata=form(OrNull(AMOUNT)))
    num_selection_clips: int | None = field(metadata=form(OrNull(COUNT)))
    calibration_error_before: float | None = field(metadata=form(RATE))
    calibration_error: float | None = field(metadata=form(RATE))
    negative_log_likelihood_before: float | None = field(metadata=form(OrNull(AMOUNT)))
    negative_log_likelihood: float | None = field(metadata=form(OrNull(AMOUNT)))
    reason: str | None = field(metadata=form(OrNull(REMARK)))


@dataclass(frozen=True)
class EvaluationResults:
    """All of evaluation_results.json."""

    schema_version: int = field(metadata=form(int))
    note: str | None = field(metadata=form(OrNull(REMARK)))
    split: str = field(metadata=form(NAME))
    num_clips: int = field(metadata=form(COUNT))
    num_videos: int = field(metadata=form(COUNT))
    num_labelled_clips: int = field(metadata=form(COUNT))
    num_classes: int = field(metadata=form(Number(0, MAX_CLASSES, int)))
    multi_label: bool = field(metadata=form(bool))
    chance: float | None = field(metadata=form(RATE))
    majority: Majority | None = field(metadata=form(OrNull(Majority)))
    long_tail: bool = field(metadata=form(bool))
    verb_noun: VerbNoun | None = field(metadata=form(OrNull(VerbNoun)))
    retrieval: TextRetrieval | None = field(metadata=form(OrNull(TextRetrieval)))
    frames_in_several_clips: float | None = field(metadata=form(RATE))
    comparable_with: str | None = field(metadata=form(OrNull(REMARK)))
    classes: list[str] = field(metadata=form([NAME]))
    teacher: TeacherResults = field(metadata=form(TeacherResults))
    student: StudentResults = field(metadata=form(StudentResults))
    reference: Reference | None = field(metadata=form(OrNull(Reference)))
    comparison: Comparison = field(metadata=form(Comparison))
    calibrated: Calibrated | None = field(metadata=form(OrNull(Calibrated)))
    per_class: list[ClassResults] = field(metadata=form([ClassResults]))
    confusion: Confusion = field(metadata=form(Confusion))
    environment: dict[str, Any] = field(metadata=form({...: object}))

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by the names of evaluation_results.json."""
        return as_json(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EvaluationResults":
        """The results with these JSON values, whose form was checked before."""
        return from_json(cls, values)


SCHEMA = schema_of(EvaluationResults)
