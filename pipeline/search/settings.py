"""The settings of search-cache. Imports nothing that computes."""

from dataclasses import dataclass
from pathlib import Path

from embedonce.models.preprocessing import parse
from embedonce.pipeline.settings import ranges, shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.choices import SPLITS
from embedonce.pipeline.settings.options import CACHE, DATA, OUTPUT, STUDENT, setting

QUERIES = ("text", "image", "video", "class_name")
EXACT, FAISS = "exact", "faiss"
MAX_TOP = 10_000


@dataclass(frozen=True)
class SearchConfig(Settings):
    """One query in the frames of a cache, or the near-duplicates among them."""

    cache_dir: Path | str = setting(shared.CACHE_DIR)
    text: str | None = setting(help="Text to search for, such as 'opens a drawer'.", group=DATA)
    image: Path | None = setting(help="Image file to search for.", group=DATA, must_exist=True)
    video: str | None = setting(
        help="Video of the cache whose frame at --time to search for: its uid, or its path in the data folder.",
        group=DATA,
        metavar="UID",
    )
    time: float | None = setting(help="Time in --video, in seconds.", group=DATA, metavar="SEC")
    class_name: str | None = setting(help="Class of a zero-shot label set to search for.", group=DATA)
    duplicates: bool = setting(
        False, "In place of a search, list near-duplicates between videos, and outliers.", group=DATA
    )
    threshold: float = setting(
        0.98, "Smallest cosine of near-duplicates.", group=DATA, range=ranges.Range(-1, 1, text="between -1 and 1")
    )
    top: int = setting(
        10, "Most moments, pairs or outliers that are listed.", group=DATA, range=ranges.positive(MAX_TOP)
    )
    min_gap: float = setting(
        2.0,
        "Frames of a video that are closer together than this are one moment, in seconds.",
        group=DATA,
        range=ranges.non_negative(),
        metavar="SEC",
    )
    split: str | None = setting(help="Search only clips of this split.", group=DATA, choices=SPLITS)
    label_set: str | None = setting(
        help="Label set of the labels, the splits and --class-name.",
        group=CACHE,
        default_text="the cache's only label set",
    )
    index: str = setting(
        EXACT,
        "exact: compare the query with every frame. faiss: an approximate index, for many millions of frames.",
        group=CACHE,
        choices=(EXACT, FAISS),
    )
    index_dir: Path | None = setting(
        help="Folder of the search index, outside of the cache.",
        group=CACHE,
        default_text="embedonce in the user's cache folder",
    )
    student: Path | None = setting(
        help="Search the embeddings of this student checkpoint in place of the teacher's.", group=STUDENT
    )
    teacher_model: str | None = setting(shared.TEACHER_MODEL)
    teacher_module: Path | None = setting(shared.TEACHER_MODULE)
    teacher_onnx: Path | None = setting(shared.TEACHER_ONNX)
    teacher_torchscript: Path | None = setting(shared.TEACHER_TORCHSCRIPT)
    teacher_weights: str | None = setting(shared.TEACHER_WEIGHTS)
    teacher_activation: str | None = setting(shared.TEACHER_ACTIVATION)
    teacher_preprocess: str | None = setting(shared.TEACHER_PREPROCESS)
    json: Path | None = setting(help="Write the results to this JSON file.", group=OUTPUT)
    html: Path | None = setting(help="Write the results with thumbnails to this HTML page.", group=OUTPUT)
    overwrite: bool = setting(
        False, "Replace the files of --json and --html even if this command did not write them.", group=OUTPUT
    )
    device: str = setting(shared.DEVICE)
    seed: int = setting(shared.SEED)

    def __post_init__(self):
        super().__post_init__()
        given = [f"--{name.replace('_', '-')}" for name in QUERIES if getattr(self, name) is not None]
        if self.duplicates and given:
            raise ValueError(f"--duplicates compares all frames and cannot be used with {given[0]}")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of them")
        if not given and not self.duplicates:
            raise ValueError(
                "nothing to search for: give --text TEXT, --image FILE, --video UID with --time SEC, or --class-name "
                "NAME; or --duplicates"
            )
        if (self.video is None) != (self.time is None):
            raise ValueError("--video and --time belong together: the frame that the video shows at this time")
        self._require(self.text is None or bool(self.text.strip()), "text", "a text that is not empty")
        if self.teacher_preprocess is not None:
            parse(self.teacher_preprocess)

    @property
    def query_text(self) -> str:
        """What is searched for, in words."""
        if self.duplicates:
            return f"Frames of different videos with a cosine of {self.threshold:g} or more"
        if self.video is not None:
            return f"Moments like {self.video} at {self.time:g} s"
        if self.image is not None:
            return f"Moments like the image {self.image.name}"
        return f"Moments of class {self.class_name!r}" if self.text is None else f"Moments like {self.text!r}"

    @property
    def teacher_options(self) -> dict[str, object]:
        """The options of teacher_loading.teacher_of()."""
        named = ("model", "module", "onnx", "torchscript", "weights", "activation", "preprocess")
        options = {f"teacher_{name}": getattr(self, f"teacher_{name}") for name in named}
        return options | {"device": self.device, "seed": self.seed}
