"""The options of the UCF101 source."""

from dataclasses import dataclass

from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.options import ANNOTATIONS, setting
from embedonce.pipeline.sources.frames.options import FrameFolderOptions


@dataclass(frozen=True, kw_only=True)
class UcfOptions(FrameFolderOptions):
    """Which of the official lists are read: trainlist01.txt and testlist01.txt, or those of another number."""

    ucf_split: int = setting(
        1, "Number of the official lists of UCF101: 1, 2 or 3.", group=ANNOTATIONS, metavar="N", range=ranges.REPEATS
    )
