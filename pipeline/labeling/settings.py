"""The settings of relabel. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.schema import UID_PATTERN
from embedonce.models.preprocessing import parse
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import DATA, LABELS, setting
from embedonce.pipeline.sources.settings import LabelingSettings


@dataclass(frozen=True)
class RelabelConfig(LabelingSettings):
    """A new label set for a cache: from annotations, or from class names for the clips of another label set.

    classes: a file of classes other than those that clips are labeled with. class_names: a file of readable names for
    the classes that they are labeled with. prompts: a file of prompts, for the same classes unless others are given.
    """

    cache_dir: Path | str = setting(shared.CACHE_DIR)
    data_dir: Path | None = setting(
        help="Folder of the annotations, as downloaded, or of the videos of --manifest; no video is decoded.",
        group=DATA,
    )
    clips_from: str | None = setting(
        help="Label set to take the clips from, when --annotations is not given.",
        group=LABELS,
        aliases=("--clips-from-label-set",),
        default_text="the cache's only label set",
    )
    teacher_head: str | None = setting(shared.TEACHER_HEAD)
    prompt_style: str | None = setting(shared.PROMPT_STYLE)
    embed_texts: bool = setting(shared.EMBED_TEXTS)
    teacher_model: str | None = setting(shared.TEACHER_MODEL)
    teacher_module: Path | None = setting(shared.TEACHER_MODULE)
    teacher_weights: str | None = setting(shared.TEACHER_WEIGHTS)
    teacher_activation: str | None = setting(shared.TEACHER_ACTIVATION)
    teacher_preprocess: str | None = setting(shared.TEACHER_PREPROCESS)
    device: str = setting(shared.DEVICE)
    seed: int = setting(shared.SEED)

    def __post_init__(self):
        super().__post_init__()
        self.check_prompts(self.teacher_head, self.prompt_style)
        if self.teacher_preprocess is not None:
            parse(self.teacher_preprocess)
        annotated = self.asks_for_annotations
        if not annotated and self.names_file is None:
            raise ValueError(
                "no labels given: give --manifest TABLE, --annotations KIND --data-dir FOLDER, or --classes FILE (or "
                "--class-names FILE, to rename the existing classes, or --prompts FILE, for other prompts)"
            )
        if annotated and self.data_dir is None and self.manifest is None:
            raise ValueError("annotations need --data-dir, the folder that has them (the videos are not needed)")
        if annotated and self.clips_from is not None:
            given = "--annotations" if self.manifest is None else "--manifest"
            raise ValueError(f"--clips-from cannot be used with {given}, which defines the clips")
        if self.classes is not None and self.num_actions is not None:
            raise ValueError("--num-actions selects classes of annotations and cannot be used with --classes")
        if not annotated and self.num_actions is not None:
            raise ValueError("--num-actions selects classes of annotations: give --annotations, or leave it out")
        stem = self.names_file and self.names_file.stem
        if stem and self.label_set is None and not UID_PATTERN.fullmatch(stem):
            raise ValueError(f"{stem!r} is not a valid name of a label set: give one with --label-set")

    @property
    def names_file(self) -> Path | None:
        """The file of --classes, --class-names or --prompts, which the label set is named after."""
        return self.classes or self.class_names or self.prompts
