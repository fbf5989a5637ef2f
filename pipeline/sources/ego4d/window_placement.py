"""Places annotated windows in the video files that show them: windows of a video become clips of files."""

from collections import defaultdict

from embedonce.pipeline.sources.ego4d.annotations.reader import Window
from embedonce.pipeline.sources.ego4d.layout import VideoFile
from embedonce.pipeline.sources.source import UNLABELED, Clip

MIN_SHOWN = 0.5  # share of a window that a clip's file must show; less would be another action with its label


def place_windows(
    windows: list[Window], files: dict[str, list[VideoFile]], classes: tuple[str, ...]
) -> tuple[list[Clip], int]:
    """(clips in the seconds of their files, how many windows no file shows). files: by video uid."""
    label_of = {name: label for label, name in enumerate(classes)}
    placed: dict[str, list[tuple[Window, VideoFile]]] = defaultdict(list)
    num_not_shown = 0
    for window in windows:
        file = _file_for(window, files[window.video_uid])
        if file is None:
            num_not_shown += 1
        else:
            placed[file.uid].append((window, file))
    clips = [clip for uid in sorted(placed) for clip in _clips_of_file(uid, placed[uid], label_of)]
    return clips, num_not_shown


def _file_for(window: Window, files: list[VideoFile]) -> VideoFile | None:
    """The file of the window's own clip, else the one that shows most of it; None if none shows MIN_SHOWN of it."""
    if len(files) == 1 and files[0].clip_uid is None:  # a whole video
        return files[0]
    shown = [file for file in files if _share_shown(window, file) >= MIN_SHOWN]

    def rank(file: VideoFile) -> tuple[bool, float, str]:
        return file.clip_uid in (None, window.clip_uid), _share_shown(window, file), file.uid

    return max(shown, key=rank, default=None)


def _share_shown(window: Window, file: VideoFile) -> float:
    """The share of a window that a file shows; negative if they do not overlap."""
    overlap = min(window.end_sec, file.end_sec) - max(window.start_sec, file.start_sec)
    return overlap / (window.end_sec - window.start_sec)


def _clips_of_file(uid: str, placed: list[tuple[Window, VideoFile]], label_of: dict[str, int]) -> list[Clip]:
    """The clips of one file, in time order, in the seconds of the file."""
    placed.sort(key=lambda pair: (pair[0].start_sec, pair[0].end_sec, pair[0].label or "", pair[0].split))
    clips = []
    for i, (window, file) in enumerate(placed):
        start_sec = max(window.start_sec, file.start_sec) - file.offset_sec
        end_sec = min(window.end_sec, file.end_sec) - file.offset_sec
        label = UNLABELED if window.label is None else label_of[window.label]
        clips.append(Clip(f"{uid}:{i}", uid, start_sec, end_sec, label, window.split, window.text))
    return clips
