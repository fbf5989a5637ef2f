"""Label sets with stored logits against those that compute them when read: bytes a frame, and times of reading.

    python -m benchmarks.store_logits --work-dir results/benchmarks

All that is read is in the page cache, and verified. A window is what a clip needs: some consecutive rows of one view.
"""

import itertools
from pathlib import Path

import click
import numpy as np
import safetensors.numpy

from benchmarks.cache import NUM_SHARDS, WINDOW, write
from benchmarks.measuring import finish, interleaved, machine
from benchmarks.safety import DIM, ROWS
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ZERO_SHOT, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer

CLASSES = (8, 64, 1000)
SCALE = 100.0


def write_label_set(reader: CacheReader, num_classes: int, stores: bool) -> str:
    """A zero-shot label set with random class vectors over all rows; its name."""
    vectors = np.random.default_rng(num_classes).standard_normal((num_classes, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    head = {"class_text": vectors, "logit_scale": np.array([SCALE], np.float32)}
    name = f"{'stored' if stores else 'computed'}-{num_classes}"
    classes = tuple(f"class {number}" for number in range(num_classes))
    writer = open_writer(reader.cache_dir, reader.identity)
    writer.create_label_set(
        LabelSet(name, ZERO_SHOT, classes, (), SCALE, {}, stores_logits=stores), safetensors.numpy.save(head)
    )
    for unit, record in reader.records.items() if stores else ():
        writer.commit_logits(name, unit, record.keys, logits_from(head, reader.all_embeddings(unit)), {})
    writer.close()
    return name


def bytes_per_frame(reader: CacheReader, name: str) -> float:
    """All files of a label set."""
    files = (path for path in (Path(reader.cache_dir) / "labels" / name).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) / reader.num_rows


def compare(reader: CacheReader, num_classes: int, repeats: int) -> dict:
    """Bytes a frame, milliseconds for all logits of a shard, and microseconds for those of a window, both ways."""
    names = [write_label_set(reader, num_classes, stores) for stores in (True, False)]
    reader = open_reader(reader.cache_dir)
    units, generator = sorted(reader.records), np.random.default_rng(0)
    differences = [abs(np.subtract(*(reader.all_logits(name, unit) for name in names))).max() for unit in units]
    shards = {name: itertools.cycle(units) for name in names}
    whole = interleaved({n: lambda n=n: reader.all_logits(n, next(shards[n])) for n in names}, NUM_SHARDS * repeats)
    places = [(str(generator.choice(units)), int(generator.integers(ROWS - WINDOW + 1))) for _ in range(ROWS // WINDOW)]
    windows = interleaved({n: lambda n=n: _read_windows(reader, n, places) for n in names}, NUM_SHARDS * repeats)
    return {
        name.partition("-")[0]: {
            "bytes a frame": round(bytes_per_frame(reader, name)),
            f"all logits of {ROWS} frames, ms": round(whole[name] * 1e3, 2),
            f"a window of {WINDOW} rows, us": round(windows[name] / len(places) * 1e6),
        }
        for name in names
    } | {"largest difference": float(max(differences))}


def _read_windows(reader: CacheReader, name: str, places: list[tuple[str, int]]) -> None:
    for unit, first in places:
        reader.logits(name, unit).logits(first, first + WINDOW, 0)


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
def main(work_dir: Path, repeats: int):
    """Measure, and end with one line of JSON."""
    figures: dict[str, dict] = {"machine": machine("numpy", "h5py")}
    for backend in BACKENDS:
        reader = write(work_dir / "store_logits", backend, 0)
        for num_classes in CLASSES:
            figures[f"{backend}, {num_classes} classes"] = compare(reader, num_classes, repeats)
        reader.close()
    finish("store_logits", figures)


if __name__ == "__main__":
    main()
