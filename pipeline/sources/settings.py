"""Settings that extract-teacher, relabel and plan-ego4d share: the options of the sources, and the classes.

Imports nothing that computes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedonce.cache.labels import ZERO_SHOT
from embedonce.cache.schema import UID_PATTERN
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import LABELS, plugin_settings, setting
from embedonce.pipeline.sources.ego4d.annotations.registry import KINDS
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.frames.options import FramesOptions
from embedonce.pipeline.sources.manifest.options import ManifestOptions
from embedonce.pipeline.sources.registry import asks_for_annotations, plugin_options


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings(Ego4dOptions, Settings):
    """How annotations are read, and how many of their classes are kept."""

    num_actions: int | None = setting(
        help="Number of classes: the most frequent ones are kept.",
        group=LABELS,
        aliases=("--num-classes",),
        range=ranges.REPEATS,
        default_text="all",
    )

    def __post_init__(self):
        super().__post_init__()
        kinds = self.annotation_kinds
        known = ", ".join(KINDS)
        self._require(set(kinds) <= set(KINDS), "annotations", f"one or more of {known}, comma-separated")
        self._require(len(set(kinds)) == len(kinds), "annotations", "different kinds")


@dataclass(frozen=True, kw_only=True)
class LabelingSettings(ManifestOptions, FramesOptions, AnnotationSettings):
    """Which label set a command makes: its classes and its name. source_settings: options of registered plug-ins."""

    classes: Path | None = setting(shared.CLASSES)
    class_names: Path | None = setting(shared.CLASS_NAMES)
    prompts: Path | None = setting(shared.PROMPTS)
    label_set: str | None = setting(
        help="Name of the label set to create.",
        group=LABELS,
        default_text="named after the annotation kind, the class file or the head",
    )
    store_logits: bool | None = setting(shared.STORE_LOGITS)

    source_settings: dict[str, Any] = plugin_settings(plugin_options)

    @property
    def asks_for_annotations(self) -> bool:
        """Whether the clips are to be read from a source's annotations, because an option of that source is given."""
        return asks_for_annotations(self)

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
        if self.skip_missing and self.manifest is None:
            raise ValueError("--skip-missing requires --manifest")
        if self.frames_prefix is not None and self.frames_rate is None:
            raise ValueError("--frames-prefix requires --frames-rate")
        if self.classes and self.class_names:
            raise ValueError(
                "--classes (other classes) and --class-names (new names for the classes of the data) exclude each "
                "other: give one of them"
            )

    def check_prompts(self, teacher_head: str | None, prompt_style: str | None) -> None:
        """ValueError if --prompts is given and would not be used."""
        if self.prompts is None:
            return
        if teacher_head not in (None, ZERO_SHOT):
            raise ValueError(f"--prompts is for --teacher-head {ZERO_SHOT}; --teacher-head {teacher_head} uses none")
        if prompt_style is not None:
            raise ValueError(
                "--prompts replaces the built-in wordings that --prompt-style chooses from: give one of them"
            )
