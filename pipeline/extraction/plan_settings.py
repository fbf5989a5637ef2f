"""The settings of plan and plan-ego4d. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.extraction.settings import DATA_DIR
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.options import DATA, setting
from embedonce.pipeline.sources.folder.options import LAYOUT
from embedonce.pipeline.sources.settings import AnnotationSettings, LabelingSettings


@dataclass(frozen=True)
class DataPlanConfig(LabelingSettings):
    """What plan shows: the options of extract-teacher that decide which clips and classes there are."""

    data_dir: Path | str | None = setting(DATA_DIR)
    layout: str | None = setting(LAYOUT)
    teacher_head: str | None = setting(shared.TEACHER_HEAD)
    prompt_style: str | None = setting(shared.PROMPT_STYLE)

    def __post_init__(self):
        super().__post_init__()
        self.check_prompts(self.teacher_head, self.prompt_style)


@dataclass(frozen=True)
class PlanConfig(AnnotationSettings):
    """What plan-ego4d counts: the contents of an Ego4D download and the cost of extracting it."""

    data_dir: Path = setting(help="Folder of the Ego4D download, with ego4d.json.", group=DATA, is_required=True)
    fps: float = setting(shared.FPS)
    views: int = setting(shared.VIEWS)
    assume_downloaded: bool = setting(False, "Plan as if the listed videos were on disk.", group=DATA)
    num_videos: int | None = setting(
        help="With --assume-downloaded: only the first N videos that download-ego4d would select.",
        group=DATA,
        metavar="N",
        range=ranges.COUNT,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.num_videos is not None and not self.assume_downloaded:
            raise ValueError("--num-videos requires --assume-downloaded")
