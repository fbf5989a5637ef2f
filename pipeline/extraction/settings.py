"""The settings of extract-teacher. Imports nothing that computes."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.schema import DEFAULT_VIEW_AREA, SAMPLINGS, max_snap_tolerance
from embedonce.models.names import default_prompt_style
from embedonce.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from embedonce.pipeline.extraction.setting_checks import check_settings
from embedonce.pipeline.extraction.teacher_settings import TeacherSettings
from embedonce.pipeline.processes.cores import usable_cores
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.choices import DECODERS
from embedonce.pipeline.settings.options import CACHE, DATA, RUNTIME, Option, setting
from embedonce.pipeline.sources.folder.options import LAYOUT
from embedonce.pipeline.sources.settings import LabelingSettings
from embedonce.pipeline.sources.synthetic.options import NUM_SAMPLES, USE_SYNTHETIC

DATA_DIR = Option(
    help="Folder of videos or of images, in any layout, the URL of one of videos (s3://, gs://, az://, https://), or "
    "a local download of Ego4D or another data set of docs/data.md.",
    group=DATA,
    may_be_url=True,
)


@dataclass(frozen=True)
class ExtractConfig(LabelingSettings, TeacherSettings):
    """Which videos are embedded by which teacher into which cache."""

    data_dir: Path | str | None = setting(DATA_DIR)
    use_synthetic: bool = setting(USE_SYNTHETIC)
    cache_dir: Path | str = setting(shared.CACHE_DIR)
    num_samples: int = setting(NUM_SAMPLES)
    layout: str | None = setting(LAYOUT)
    fps: float = setting(shared.FPS)
    sampling: str = setting(
        "fps",
        "Frame sampling: at a fixed rate; at a fixed rate, but by key frames nearby if there are any (snap); or key "
        "frames only (cheapest; at irregular, encoder-chosen timestamps).",
        group=DATA,
        choices=SAMPLINGS,
    )
    snap_tolerance: float | None = setting(
        help="With --sampling snap: most seconds between a time and the key frame that is taken instead.",
        group=DATA,
        range=ranges.positive(smallest=1e-3),
        default_text="half of the interval between times",
    )
    decoder: str = setting("software", "Decoder backend.", group=DATA, choices=DECODERS)
    video_timeout: float = setting(
        120.0,
        "Seconds without progress after which a video is given up.",
        group=DATA,
        range=ranges.positive(smallest=1e-3),
    )
    teacher_head: str | None = setting(shared.TEACHER_HEAD)
    prompt_style: str | None = setting(shared.PROMPT_STYLE)
    embed_texts: bool = setting(shared.EMBED_TEXTS)
    backend: str = setting("hdf5", "Shard format.", group=CACHE, choices=BACKENDS)
    views: int = setting(dataclasses.replace(shared.VIEWS, group=CACHE))
    view_area: float = setting(
        DEFAULT_VIEW_AREA,
        "Smallest random crop, as a share of the frame's area, up to 1.",
        group=CACHE,
        range=ranges.VIEW_AREA,
    )
    shard_frames: int = setting(
        512, "Maximum frames per shard.", group=CACHE, range=ranges.positive(ranges.MAX_SHARD_FRAMES)
    )
    canonical_short_side: int | None = setting(
        help="Short side of the stored frames, in pixels.",
        group=CACHE,
        range=ranges.SHORT_SIDE,
        default_text="derived from the teacher's input size",
    )
    jpeg_quality: int = setting(
        90,
        "JPEG quality of the stored frames, 90 to 100.",
        group=CACHE,
        range=ranges.Range(90, 100, text="from 90 to 100"),
    )
    engine: str = setting(DEFAULT_ENGINE, "Engine that runs the decoding tasks.", group=RUNTIME, choices=ENGINES)
    part: str | None = setting(
        help="Extract only part i of N (1/8, 2/8, ...), while others, on this machine or other ones, extract the other "
        "parts into the same cache.",
        group=RUNTIME,
        metavar="i/N",
    )
    ray_address: str | None = setting(
        help="With --engine ray: the cluster to use: auto for the one that this machine belongs to, or HOST:PORT.",
        group=RUNTIME,
        default_text="RAY_ADDRESS if that is set, otherwise Ray is started on this machine, for this run",
    )
    ray_workers: int | None = setting(
        help="With --engine ray: workers, each with a teacher of its own.",
        group=RUNTIME,
        range=ranges.positive(ranges.MAX_PROCESSES),
        default_text="one for each GPU of the cluster, or for each of its machines if it has no GPU",
    )
    decode_workers: int | None = setting(
        help="Decoder worker processes.",
        group=RUNTIME,
        range=ranges.positive(ranges.MAX_PROCESSES),
        default_text="one for each core that may be used",
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_prompts(self.teacher_head, self.prompt_style)
        check_settings(self)

    @property
    def reads_real_videos(self) -> bool:
        return bool(self.data_dir or self.manifest) and not self.use_synthetic

    @property
    def wording(self) -> str:
        """The style of class prompts."""
        return self.prompt_style or default_prompt_style(self.model)

    @property
    def even_fps(self) -> float | None:
        """Requested times per second of video; None if key frames are requested at their own times."""
        return None if self.sampling == "keyframe" else self.fps

    @property
    def snap_sec(self) -> float | None:
        """How far away a key frame may be that answers a time, in seconds; None if the frame shown then does."""
        if self.sampling != "snap":
            return None
        most = max_snap_tolerance(self.fps)
        return most if self.snap_tolerance is None else min(self.snap_tolerance, most)

    @property
    def num_decode_workers(self) -> int:
        """The given number, else one for each core: they wait while the teacher has frames, and leave it the cores."""
        return self.decode_workers or usable_cores()
