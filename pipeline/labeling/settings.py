"""The settings of the relabel command, with their checks; imports no model library."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.schema import UID_PATTERN
from embedonce.models.names import PROMPT_STYLES
from embedonce.models.preprocessing import parse
from embedonce.pipeline.naming.annotation_kinds import MAX_NARRATION_WINDOW
from embedonce.pipeline.settings.choices import DEVICES, TEACHER_HEADS
from embedonce.pipeline.sources.settings import Annotated


@dataclass(frozen=True)
class RelabelConfig(Annotated):
    """A label set to add to a cache: clips of annotations, or the clips of a stored label set with other class names.

    classes: file of new classes; clips become unlabeled. class_names: file of new names for the classes of the clips.
    """

    cache_dir: Path
    data_dir: Path | None = None
    annotations: str | None = None
    skip_invalid: bool = False
    clip_splits: bool = False
    classes: Path | None = None
    class_names: Path | None = None
    clips_from: str | None = None
    num_actions: int | None = None
    teacher_head: str = "zero-shot"
    label_set: str | None = None
    teacher_model: str | None = None
    teacher_module: Path | None = None  # a Python file that registers the cached teacher
    teacher_weights: str | None = None
    teacher_activation: str | None = None
    teacher_preprocess: str | None = None
    device: str = "auto"
    seed: int = 0
    strict: bool = False  # whether a single invalid annotation is an error
    fho_window: str = "action"
    max_narration_window: float = MAX_NARRATION_WINDOW  # seconds
    prompt_style: str | None = None  # None: the default of the cached teacher

    def __post_init__(self):
        super().__post_init__()
        self._check_annotated()
        self._one_of("teacher_head", TEACHER_HEADS)
        if self.prompt_style is not None:
            self._one_of("prompt_style", PROMPT_STYLES)
        self._one_of("device", DEVICES)
        if self.teacher_preprocess is not None:
            parse(self.teacher_preprocess)
        if self.num_actions is not None:
            self._positive("num_actions")
        if self.annotations is None and self.classes is None and self.class_names is None:
            raise ValueError(
                "no labels: give --annotations KIND --data-dir FOLDER, or --classes FILE (or --class-names FILE, to "
                "rename the classes of a label set)"
            )
        if self.annotations is not None and self.data_dir is None:
            raise ValueError("--annotations needs --data-dir, the folder of ego4d.json (without videos, if you like)")
        if self.annotations is not None and self.clips_from is not None:
            raise ValueError("--clips-from is for --classes and --class-names: --annotations have clips of their own")
        if self.classes is not None and self.num_actions is not None:
            raise ValueError("--num-actions selects classes of annotations, but --classes names all classes")
        if self.annotations is None and self.num_actions is not None:
            raise ValueError("--num-actions selects classes of annotations: give --annotations, or leave it out")
        stem = self.names_file and self.names_file.stem
        if stem and self.label_set is None and not UID_PATTERN.fullmatch(stem):
            raise ValueError(f"{stem!r} cannot name a label set: give it a name with --label-set")

    @property
    def names_file(self) -> Path | None:
        """The file of class names: of --classes or --class-names."""
        return self.classes or self.class_names
