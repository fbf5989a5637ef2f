"""Settings that extract-teacher, relabel and plan-ego4d share: how annotations of a data folder are read.

Imports nothing that computes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.cache.schema import UID_PATTERN
from embedonce.pipeline.naming.annotation_kinds import FHO_WINDOWS, MAX_NARRATION_WINDOW
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import ANNOTATIONS, LABELS, setting
from embedonce.pipeline.sources.ego4d.annotations.registry import KINDS
from embedonce.pipeline.sources.source import SourceOptions


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings(Settings):
    """How Ego4D's annotations are read. max_narration_window: seconds."""

    annotations: str | None = setting(
        help=f"Annotations of Ego4D to label from, comma-separated: {', '.join(KINDS)}.",
        group=ANNOTATIONS,
        metavar="KINDS",
    )
    num_actions: int | None = setting(
        help="Number of classes: the most frequent ones are kept.",
        group=LABELS,
        aliases=("--num-classes",),
        range=ranges.REPEATS,
        default_text="all",
    )
    fho_window: str = setting(
        "action",
        "Time window of an FHO action: the whole action, or from its pre to its post frame.",
        group=ANNOTATIONS,
        choices=FHO_WINDOWS,
    )
    max_narration_window: float = setting(
        MAX_NARRATION_WINDOW,
        "Longest time window around a narration, in seconds.",
        group=ANNOTATIONS,
        metavar="SEC",
        range=ranges.positive(),
    )
    clip_splits: bool = setting(False, "Keep clip-level splits, even if they divide a video.", group=ANNOTATIONS)
    strict: bool = setting(
        False, "Fail on invalid annotation entries instead of skipping them with a note.", group=ANNOTATIONS
    )
    skip_invalid: bool = setting(
        False, "No effect, accepted for compatibility: invalid entries are skipped anyway.", group=ANNOTATIONS
    )

    @property
    def annotation_kinds(self) -> tuple[str, ...]:
        return tuple(self.annotations.split(",")) if self.annotations else ()

    @property
    def source_options(self) -> SourceOptions:
        return SourceOptions(
            annotations=self.annotation_kinds,
            skip_invalid=self.skip_invalid,
            clip_splits=self.clip_splits,
            strict=self.strict,
            fho_window=self.fho_window,
            max_narration_window=self.max_narration_window,
        )

    def __post_init__(self):
        super().__post_init__()
        kinds = self.annotation_kinds
        known = ", ".join(KINDS)
        self._require(set(kinds) <= set(KINDS), "annotations", f"one or more of {known}, comma-separated")
        self._require(len(set(kinds)) == len(kinds), "annotations", "different kinds")


@dataclass(frozen=True, kw_only=True)
class LabelingSettings(AnnotationSettings):
    """Which label set a command makes: its classes and its name."""

    classes: Path | None = setting(shared.CLASSES)
    class_names: Path | None = setting(shared.CLASS_NAMES)
    label_set: str | None = setting(
        help="Name of the label set to create.", group=LABELS, default_text="the kind of annotations, file or head"
    )

    @property
    def source_options(self) -> SourceOptions:
        return replace(super().source_options, classes_file=self.classes, class_names=self.class_names)

    def __post_init__(self):
        super().__post_init__()
        is_valid_name = self.label_set is None or UID_PATTERN.fullmatch(self.label_set) is not None
        self._require(is_valid_name, "label_set", "letters, digits, _ and -, beginning with a letter or digit")
        given = [
            f"--{name.replace('_', '-')}" for name in ("label_set", "classes", "class_names") if getattr(self, name)
        ]
        num_kinds = len(self.annotation_kinds)
        if num_kinds > 1 and given:
            raise ValueError(f"{given[0]} needs a single kind of annotations, but --annotations names {num_kinds}")
        if self.classes and self.class_names:
            raise ValueError(
                "--classes (other classes) and --class-names (new names for the classes of the data) exclude each "
                "other: give one of them"
            )
