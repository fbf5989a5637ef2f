"""The settings of add-teacher. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.added_teachers.documents import check_name
from embedonce.pipeline.extraction.teacher_settings import TeacherSettings
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import CACHE, setting


@dataclass(frozen=True, kw_only=True)
class AddTeacherConfig(TeacherSettings):
    """Which teacher embeds the stored frames of which cache, and its name there."""

    name: str = setting(
        help="Name of the added teacher in the cache, such as dinov3; `first` is the one that made the cache.",
        group=CACHE,
        is_required=True,
    )
    cache_dir: Path | str = setting(shared.CACHE_DIR)

    def __post_init__(self):
        super().__post_init__()
        try:
            check_name(self.name)
        except ValueError as error:
            raise ValueError(f"--name {self.name!r}: {error}") from error

    @property
    def reads_real_videos(self) -> bool:
        return True
