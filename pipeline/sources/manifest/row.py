"""One row of a manifest: a clip of a video, its times as numbers. The rows of other tables become such rows, too."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A clip [start_sec, end_sec) of a video, in seconds on the video's timeline.

    line: place in the table, for messages. video: path relative to the data folder, absolute path, or URL.
    start_sec, end_sec: -inf and inf if they are not given: from the beginning, to the end. label: name of the class,
    several separated by `|`, or "". split: "train", "val", "test" or "". text: narration, or "". uid: name of the
    clip, or "" to derive one.
    """

    line: int
    video: str
    start_sec: float = -math.inf
    end_sec: float = math.inf
    label: str = ""
    split: str = ""
    text: str = ""
    uid: str = ""
