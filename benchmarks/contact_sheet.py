"""The contact sheet of a cache of many rows: seconds, memory, bytes of the page, and how much of the cache it reads.

    python -m benchmarks.contact_sheet --work-dir results/benchmarks

Videos of 1,024 rows, eight clips each; 50 classes, of which the most frequent has 50 times as many clips as the rarest.
Frames are drawn ones, 256 pixels high, of about 10 kB; embeddings have 512 values. The command runs in a new process.
"""

import contextlib
import io
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import safetensors.numpy
from PIL import Image, ImageDraw

from benchmarks.measuring import finish, machine
from benchmarks.open_cache import committed, planned
from benchmarks.safety import fresh
from embedonce.cache.heads import head_tensors
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import Unit
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_writer
from tests.conftest import make_cache_identity, planned_video

DIM, UNIT_ROWS, VIDEO_ROWS, CLIPS = 512, 1024, 1024, 8
CLASSES = tuple(f"action {number:02}" for number in range(50))
PICTURES = 400  # different frames
VIEWS = np.array([[0, 0, 256, 256, 0, 3]], np.int32)
ROOT = Path(__file__).parents[1]


def pictures(generator: np.random.Generator) -> list[bytes]:
    """JPEGs of drawn scenes."""
    found = []
    for _ in range(PICTURES):
        image = Image.new("RGB", (342, 256), tuple(generator.integers(0, 256, 3).tolist()))
        draw = ImageDraw.Draw(image)
        for _ in range(14):
            x, y, width, height = generator.integers(0, 256, 4).tolist()
            draw.ellipse((x, y, x + width // 2, y + height // 2), fill=tuple(generator.integers(0, 256, 3).tolist()))
        data = io.BytesIO()
        image.save(data, "JPEG", quality=90)
        found.append(data.getvalue())
    return found


def make_cache(root: Path, num_rows: int) -> None:
    """A cache of about num_rows rows."""
    generator = np.random.default_rng(0)
    shown, uids = pictures(generator), [f"v{number:05d}" for number in range(num_rows // VIDEO_ROWS)]
    centers = generator.standard_normal((len(CLASSES), DIM)).astype(np.float32)
    head = safetensors.numpy.save(head_tensors([3 * centers, np.zeros(len(CLASSES), np.float32)]))
    labels = LabelSet("actions", "fitted", CLASSES, (), None, {}, stores_logits=False)
    with contextlib.closing(open_writer(fresh(root), make_cache_identity("hdf5", 0, embed_dim=DIM))) as writer:
        videos = [planned_video(uid, source=f"camera/{uid}.mp4", views=VIEWS, end_sec=VIDEO_ROWS / 2) for uid in uids]
        writer.extend_plan(videos, [planned(uid, VIDEO_ROWS) for uid in uids], UNIT_ROWS)
        clips = [clip for uid in uids for clip in clips_of(uid, generator)]
        classes = {uid: [clip.label for clip in clips[i * CLIPS : (i + 1) * CLIPS]] for i, uid in enumerate(uids)}
        writer.create_label_set(labels, head)
        writer.publish_clips("actions", 0, clips)
        for unit in writer.units:
            labels_of_rows = np.repeat(classes[unit.segments[0].video_uid], VIDEO_ROWS // CLIPS)
            writer.commit_frames(unit.name, batch_of(unit, centers[labels_of_rows], shown, generator), {})
        writer.write_manifest()


def clips_of(uid: str, generator: np.random.Generator) -> list[ClipLabel]:
    """Clips of equal length; class n is drawn in proportion to 1 / (n + 1)."""
    shares = 1 / np.arange(1, len(CLASSES) + 1)
    drawn = generator.choice(len(CLASSES), CLIPS, p=shares / shares.sum())
    seconds, split = VIDEO_ROWS / CLIPS / 2, "val" if generator.random() < 0.2 else "train"
    return [
        ClipLabel(f"{uid}:{i}", uid, i * seconds, (i + 1) * seconds, int(c), split)
        for i, c in enumerate(drawn.tolist())
    ]


def batch_of(unit: Unit, centers: np.ndarray, shown: list[bytes], generator: np.random.Generator) -> FrameBatch:
    """centers: (N, D), where the embeddings are."""
    rows = len(centers)
    embeddings = centers + 1.5 * generator.standard_normal((rows, DIM), np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    jpegs = tuple(shown[i] for i in generator.integers(0, PICTURES, rows).tolist())
    segments = tuple(committed(segment, VIEWS) for segment in unit.segments)
    return FrameBatch(segments, jpegs, embeddings.astype(np.float16)[:, None], np.zeros((rows, 1), np.uint32))


def measure(root: Path, page: Path) -> dict:
    """Run inspect-cache in a new process."""
    command = [sys.executable, "cli.py", "inspect-cache", "--cache-dir", root, "--html", page, "--overwrite"]
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=ROOT)
    seconds = time.perf_counter() - start
    text = page.read_text()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "s": round(seconds, 1),
        "processor s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak MB": round(usage.ru_maxrss * 1024 / 1e6),
        "page MB": round(len(text.encode()) / 1e6, 1),
        "shown": re.findall(r'<p class="sampled">(.*?)</p>', text)[0],
    }


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rows", type=int, default=10**6, show_default=True, help="Size of the cache.")
@click.option("--keep/--no-keep", default=False, show_default=True, help="Keep the cache, and use one that is there.")
def main(work_dir: Path, rows: int, keep: bool):
    """Measure, and end with one line of JSON."""
    root = work_dir / "contact-sheet"
    if not (keep and (root / "manifest.json").exists()):
        make_cache(root, rows)
    num_bytes = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    found = {"cache GB": round(num_bytes / 1e9, 2), **measure(root.absolute(), (work_dir / "sheet.html").absolute())}
    if not keep:
        shutil.rmtree(root)
    finish("contact_sheet", {"machine": machine("numpy", "pillow"), "rows": rows, **found})


if __name__ == "__main__":
    main()
