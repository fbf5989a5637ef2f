"""How many frames a second the page of the export format web classifies in Chromium, in WebAssembly.

    python -m benchmarks.browser
    python -m benchmarks.browser --repeats 9 --backend webgpu

Every frame of videos of three sizes is decoded, prepared and classified by a student with random weights: speed does
not depend on them. Medians over the repeats of frames per second, of the processor time of all of Chromium's processes
per frame, which other programs on the machine change less, and of what each stage takes.
"""

import shutil
import tempfile
import time
from pathlib import Path

import av
import click
import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import finish, machine
from benchmarks.process_usage import tree_seconds
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.export.facts import ExportFacts
from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.web import WebPage
from embedonce.pipeline.export.web_page import runtime
from embedonce.pipeline.frames.preprocessing import Preprocessing
from tests.support.devtools import Page, opened, served

RATE, DIM, CLASSES, FRAMES_PER_CLIP = 30, 512, 12, 8
SIZES = {"240p": ((240, 320), 300), "720p": ((720, 1280), 150), "1080p": ((1080, 1920), 90)}  # (height, width), frames
READY = "document.getElementById('status').textContent === 'Ready.' && document.getElementById('backend').textContent"
RUN = """(async () => {{
  const {{ state, openFile }} = await import('./main.js');
  const {{ encoders }} = state;
  const file = new File([await (await fetch('{name}.mp4')).blob()], '{name}.mp4');
  encoders.times = {{ prepare: 0, model: 0 }};
  await openFile(file);
  const count = state.results.length;
  return [count, state.framesPerSecond, encoders.times.prepare / count, encoders.times.model / count];
}})()"""
DECODE = """(async () => {{
  const {{ state }} = await import('./main.js');
  const {{ sampledFrames }} = await import('./video_file.js');
  const file = await (await fetch('{name}.mp4')).blob();
  const start = performance.now();
  let count = 0;
  for await (const {{ frame }} of sampledFrames(file, state.facts)) {{ frame.close(); count += 1; }}
  return (performance.now() - start) / count;
}})()"""


def write_page(folder: Path, size: str, side: int, web_runtime: Path | None) -> None:
    """The page of a student with random weights that classifies every frame."""
    torch.manual_seed(0)
    student = build_student(student_config(size, DIM, CLASSES, side), pretrained=False).eval()
    preprocessing = Preprocessing("", side, "center square", "bicubic", 256, float(RATE), 90, 2.0, "")
    classes = [f"class {number}" for number in range(CLASSES)]
    described = {"size": size, "resolution": side, "embed_dim": DIM}
    facts = ExportFacts(1, described, classes, "labels", FRAMES_PER_CLIP, {"name": "teacher"}, preprocessing)
    inputs = ExportInputs.of(student, facts, np.zeros((1, 3, side, side), np.uint8))
    for name, data in WebPage(runtime.load_runtime(web_runtime)).write(inputs).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_panorama(path: Path, count: int, size: tuple[int, int]) -> None:
    """A camera that pans over a blurred picture, with noise. size: (height, width)."""
    generator, (height, width) = np.random.default_rng(0), size
    small = Image.fromarray(generator.integers(0, 256, (24, 36, 3), np.uint8))
    picture = np.asarray(small.resize((width + 2 * count, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = generator.integers(-6, 7, picture.shape, np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for start in range(0, 2 * count, 2):
            image = picture[:, start : start + width] + np.roll(noise, 7 * start, axis=0)[:, :width]
            frame = av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(page: Page, name: str, repeats: int) -> dict[str, float]:
    """Medians for one video. The first run, in which the browser compiles the code, is left out."""
    rows = []
    for _ in range(repeats + 1):
        before = tree_seconds(page.process_id)
        count, fps, prepare, model = page.run(RUN.format(name=name))
        processor = 1000 * (tree_seconds(page.process_id) - before) / count
        rows.append((fps, processor, page.run(DECODE.format(name=name)), prepare, model))
        time.sleep(0.2)
    names = ("frames_per_second", "processor_ms", "decode_ms", "prepare_ms", "model_ms")
    return dict(zip(names, np.median(rows[1:], axis=0).round(2).tolist(), strict=True))


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Runs per video, after one that is left out.")
@click.option("--student-size", default="tiny", show_default=True)
@click.option("--student-resolution", default=128, show_default=True)
@click.option("--backend", type=click.Choice(["wasm", "webgpu"]), default="wasm", show_default=True)
@click.option("--web-runtime", type=Path, help="Folder or .tgz file of onnxruntime-web; by default from npm.")
def main(repeats: int, student_size: str, student_resolution: int, backend: str, web_runtime: Path | None) -> None:
    """Measure the page of the export format web in Chromium."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_page(folder, student_size, student_resolution, web_runtime)
        for name, (size, count) in SIZES.items():
            write_panorama(folder / "web" / f"{name}.mp4", count, size)
        with served(folder / "web") as address, opened(folder) as page:
            page.open(f"{address}?backend={backend}")
            figures |= {"place": page.wait(READY), "browser": page.call("Browser.getVersion")["product"]}
            click.echo("video   frames/s  processor ms  decode ms  prepare ms  model ms (the last three: per frame)")
            for name in SIZES:
                row = figures[name] = measure(page, name, repeats)
                click.echo(f"{name:6}" + "".join(f"  {value:>9}" for value in row.values()))
        shutil.rmtree(folder / "web")
    figures["onnxruntime-web"] = runtime.VERSION
    finish("browser", {**figures, **machine("torch", "onnx")})


if __name__ == "__main__":
    main()
