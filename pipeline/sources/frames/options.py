"""The options for images in place of videos: folders of frames, and single images."""

from dataclasses import dataclass

from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.options import DATA, setting
from embedonce.pipeline.sources.folder.options import FolderOptions

SEQUENCES, IMAGES = FRAMES_LAYOUTS = ("sequences", "images")


@dataclass(frozen=True, kw_only=True)
class FrameFolderOptions:
    """How folders of frames are read, wherever a video may be such a folder."""

    frames_rate: float | None = setting(
        help="Frames per second of folders of numbered images: each folder is a video.", group=DATA, range=ranges.FPS
    )
    frames_prefix: str | None = setting(
        help="With --frames-rate: what precedes the number in the names of frames, such as img_; other images are left "
        "out.",
        group=DATA,
        default_text="all images",
    )


@dataclass(frozen=True, kw_only=True)
class FramesOptions(FrameFolderOptions):
    """What images are. frames_layout: one of FRAMES_LAYOUTS; None: inferred."""

    frames_layout: str | None = setting(
        help="What the images in a folder are: the frames of one video (sequences), or videos of one frame (images).",
        group=DATA,
        choices=FRAMES_LAYOUTS,
        default_text="inferred; ambiguous folders are refused",
    )

    @property
    def has_frames_option(self) -> bool:
        """Whether any of these options is given."""
        return any(value is not None for value in (self.frames_rate, self.frames_layout, self.frames_prefix))


@dataclass(frozen=True, kw_only=True)
class FramesSourceOptions(FramesOptions, FolderOptions):
    """With the meaning of sub-folders."""
