"""The export format web: a folder that any static web server serves, with a page that runs the student in a browser."""

import json
import logging
from pathlib import Path

import numpy as np
import torch

from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.format import ExportFormat, ExportInputs, RunnableStudent
from embedonce.pipeline.export.formats.onnx_fp32 import OnnxFloat32
from embedonce.pipeline.export.parity import EXACT
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.web_page import runtime
from embedonce.pipeline.runtimes.requirements import ONNX

log = logging.getLogger(__name__)

FOLDER, RUNTIME_FOLDER = "web", "web/ort"
FRAMES, CLIP, STUDENT = (f"{FOLDER}/{name}" for name in ("frames.onnx", "clip.onnx", "student.json"))
ASSETS_FOLDER = Path(runtime.__file__).parent
ASSETS = (
    *("index.html", "style.css", "main.js", "display.js", "camera.js", "video_file.js", "mp4.js", "sampling.js"),
    *("encoders.js", "encoder.js", "prepare.js", "resample.js", "color_matrix.js"),
)
USAGE = """`web/` is a page that shows the classes in a video or in the picture of a camera, in any current browser. It
sends nothing anywhere. Run `python -m http.server --directory web 8000` and open `http://localhost:8000`. ONNX Runtime
Web {version} is in `web/ort/`, with its license (MIT)."""


class WebPage(ExportFormat):
    file_names = (
        *(FRAMES, CLIP, STUDENT),
        *(f"{FOLDER}/{name}" for name in ASSETS),
        *(f"{RUNTIME_FOLDER}/{name}" for name in (*runtime.FILES, *runtime.LICENSES)),
    )
    limits = EXACT
    requirement = ONNX

    def __init__(self, runtime_files: dict[str, bytes] | None = None):
        """runtime_files: those of load_runtime(); None: prepare() has to load them."""
        self._onnx, self._runtime = OnnxFloat32(), runtime_files

    def prepare(self, config: ExportConfig) -> None:
        self._runtime = runtime.load_runtime(config.web_runtime)

    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        if not inputs.facts.classes:
            log.warning("this student was trained without classes: the page of the format web has nothing to show")
        models = self._onnx.write(inputs)
        files = dict(zip((FRAMES, CLIP), (models[name] for name in self._onnx.file_names), strict=True))
        files[STUDENT] = json.dumps(student_document(inputs)).encode()
        files |= {f"{FOLDER}/{name}": (ASSETS_FOLDER / name).read_bytes() for name in ASSETS}
        assert self._runtime is not None, "prepare() comes first"
        return files | {f"{RUNTIME_FOLDER}/{name}": data for name, data in self._runtime.items()}

    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        return self._onnx.load(dict(zip(self._onnx.file_names, (files[FRAMES], files[CLIP]), strict=True)))

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        return (USAGE.format(version=runtime.VERSION),)

    def next_steps(self, folder: Path) -> tuple[str, ...]:
        return (f"open it: python -m http.server --directory {folder / FOLDER} 8000, then http://localhost:8000",)


def student_document(inputs: ExportInputs) -> dict:
    """What the page reads: the facts, and the embedding of a known image, to check the browser's results with."""
    with torch.inference_mode():
        _, embeddings = inputs.frame_encoder(torch.from_numpy(known_image(inputs.facts.preprocessing.resolution)))
    return inputs.facts.as_dict() | {"check": {"embedding": embeddings[0].tolist()}}


def known_image(side: int) -> np.ndarray:
    """(1, 3, side, side) uint8: the image that encoder.js makes, too."""
    row, column = np.mgrid[: 3 * side, :side]
    return ((7 * column + 5 * row) % 256).astype(np.uint8).reshape(1, 3, side, side)
