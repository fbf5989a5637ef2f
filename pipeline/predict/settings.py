"""The settings of predict. Imports nothing that computes."""

from dataclasses import dataclass, replace
from pathlib import Path

from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import CACHE, DATA, OUTPUT, STUDENT, setting

AUTO = "auto"
MAX_WINDOW_SEC = 3600.0
SECONDS = ranges.positive(MAX_WINDOW_SEC, smallest=1e-3)  # times are written in milliseconds


@dataclass(frozen=True)
class PredictConfig(Settings):
    """Which student predicts the classes of which videos, and where the predictions go."""

    sources: tuple[str, ...]
    student: Path = setting(
        shared.RESULTS / BEST_STUDENT, "Student checkpoint, or a folder that export-student made.", group=STUDENT
    )
    cache_dir: Path | str | None = setting(
        help="Cache that the student was trained from, if its checkpoint does not record how frames were prepared.",
        group=CACHE,
        may_be_url=True,
    )
    calibration: Path | None = setting(
        help="File with the temperature and thresholds that evaluate fitted to this student.",
        group=STUDENT,
        default_text="calibration.json next to the student, if there is one",
    )
    fps: float | None = setting(
        help="Frames per second that the student sees.",
        group=DATA,
        range=ranges.FPS,
        default_text="as trained",
    )
    window: float | None = setting(
        help="Length of a window in seconds.", group=DATA, range=SECONDS, default_text="a typical training clip"
    )
    stride: float | None = setting(
        help="Seconds from the start of a window to that of the next.",
        group=DATA,
        range=SECONDS,
        default_text="the length of a window",
    )
    max_seconds: float | None = setting(
        help="Stop after this many seconds of each source.", group=DATA, range=ranges.positive(1e9), default_text="all"
    )
    stall_timeout: float = setting(
        10.0,
        "Seconds without a frame after which a stream or camera is given up.",
        group=DATA,
        range=ranges.positive(86_400),
    )
    top: int = setting(3, "Number of classes listed for each window.", group=OUTPUT, range=ranges.positive(10_000))
    threshold: float | str = setting(
        AUTO,
        "Least probability of a label, below which it is null; auto: that of its class in the calibration, if there is "
        "one.",
        group=OUTPUT,
        range=ranges.Range(0, 1),
        words=(AUTO,),
    )
    smoothing: float = setting(
        0.0,
        "Weight of the previous windows in a moving average of probabilities; 0: none.",
        group=OUTPUT,
        range=ranges.FRACTION,
    )
    output: Path | None = setting(
        help="File for the predictions, as JSON lines.", group=OUTPUT, default_text="standard output"
    )
    annotated: Path | None = setting(
        help="MP4 file for a copy of the video with the predictions drawn into it; needs a single source.", group=OUTPUT
    )
    device: str = setting(shared.DEVICE)
    overwrite: bool = setting(replace(shared.OVERWRITE, help="Replace the files of --output and --annotated."))

    def __post_init__(self):
        super().__post_init__()
        if not self.sources:
            raise ValueError("name a video, a folder of videos, a URL, or a camera such as camera:0")
        is_mp4 = self.annotated is None or self.annotated.suffix.lower() == ".mp4"
        self._require(is_mp4, "annotated", "a file whose name ends with .mp4")
        if self.annotated and self.output and self.annotated.resolve() == self.output.resolve():
            raise ValueError(f"--output and --annotated are the same file, {self.output}")
