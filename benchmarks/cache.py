"""The cache: what its safety costs, its bytes per frame, reading it against bare h5py and webdataset, and epochs of it.

    python -m benchmarks.cache --work-dir results/benchmarks

All that is read is in the page cache.
"""

import io
import itertools
from pathlib import Path

import click
import h5py
import numpy as np
import webdataset

from benchmarks.epochs import epoch_costs
from benchmarks.measuring import finish, interleaved, machine
from benchmarks.safety import DIM, ROWS, fresh, rows_of, safety_of_extraction, safety_when_fast
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer
from tests.conftest import make_cache_identity

NUM_SHARDS, WINDOW = 8, 8
NUM_VIEWS = (0, 4)  # stored random views beside view 0


def write(root: Path, backend: str, num_views: int) -> CacheReader:
    """A cache of NUM_SHARDS shards, its reader."""
    writer = open_writer(fresh(root), make_cache_identity(backend, num_views, embed_dim=DIM))
    for number in range(NUM_SHARDS):
        writer.commit_frames(f"{number:06d}", rows_of(number, num_views), {})
    writer.close()
    return open_reader(root)


def bytes_per_frame(reader: CacheReader) -> dict:
    """Of shards and of records, and how much of both is more than JPEG and embeddings."""
    folders = [reader.cache_dir / name for name in ("frames", "records")]
    shards, records = (sum(path.stat().st_size for path in folder.iterdir()) / reader.num_rows for folder in folders)
    jpegs = sum(len(jpeg) for unit in reader.records for jpeg in reader.batch(unit).jpegs) / reader.num_rows
    bare = jpegs + 2 * DIM * (1 + reader.identity.num_views)
    overhead = (shards + records) / bare - 1
    return {"shard, bytes a frame": round(shards), "record": round(records), "overhead": round(overhead, 4)}


def read_rows(shard) -> None:
    """JPEG and one view's embedding of every row in order, by our reader."""
    for row in range(ROWS):
        shard.jpeg(row)
        shard.embeddings(row, row + 1, 0)


def read_windows(reader: CacheReader, places: list[tuple[str, int]]) -> None:
    """The same of WINDOW consecutive rows from each of these (unit, row) on."""
    for unit, first in places:
        shard = reader.frames(unit)
        for row in range(first, first + WINDOW):
            shard.jpeg(row)
        shard.embeddings(first, first + WINDOW, 0)


def h5py_rows(paths: list[Path]):
    """A call that reads the rows of the next file, which is open already, as read_rows does but with h5py alone."""
    files = [h5py.File(path) for path in paths]
    following = itertools.cycle([(file["jpeg"], file["jpeg_offset"][:], file["embeddings"]) for file in files])

    def call():
        jpeg, offset, embeddings = next(following)
        for row in range(ROWS):
            jpeg[offset[row] : offset[row + 1]].tobytes()
            embeddings[row, 0]

    return call


def webdataset_rows(paths: list[Path]):
    """A call that reads the rows of the next tar as read_rows does but with webdataset alone."""
    following = itertools.cycle(map(str, paths))

    def call():
        for sample in webdataset.WebDataset(next(following), shardshuffle=False):
            sample["jpg"]
            np.load(io.BytesIO(sample["emb.npy"]))[0]

    return call


BARE = {"hdf5": ("h5py", h5py_rows), "webdataset": ("webdataset", webdataset_rows)}


def compare_reads(reader: CacheReader, repeats: int) -> dict:
    """Rows per second of our reader and of a bare loop, shard by shard; windows at random places; verification."""
    units, generator = sorted(reader.records), np.random.default_rng(0)
    paths, firsts = sorted((reader.cache_dir / "frames").iterdir()), range(0, ROWS, WINDOW)
    peer, bare = BARE[reader.identity.backend]
    in_order, by_window, unverified = (itertools.cycle(units) for _ in range(3))
    other = open_reader(reader.cache_dir)

    def of_next_shard():
        unit = next(by_window)
        return [(unit, first) for first in firsts]

    def at_random():
        return [(str(generator.choice(units)), int(generator.integers(ROWS - WINDOW + 1))) for _ in firsts]

    for unit in units:
        reader.frames(unit)  # verified from here on
    calls = {
        "ours": lambda: read_rows(reader.frames(next(in_order))),
        peer: bare(paths),
        "windows in order": lambda: read_windows(reader, of_next_shard()),
        "windows at random": lambda: read_windows(reader, at_random()),
        "verification": lambda: (other.close(), other.frames(next(unverified))),
    }
    seconds = interleaved(calls, NUM_SHARDS * repeats)
    megabytes = np.mean([path.stat().st_size for path in paths]) / 1e6
    rates = {f"{name}, rows/s": round(ROWS / seconds[name]) for name in calls if name != "verification"}
    return rates | {
        f"ours / {peer}": round(seconds[peer] / seconds["ours"], 2),
        "in order / at random": round(seconds["windows at random"] / seconds["windows in order"], 2),
        "verification, MB/s": round(megabytes / seconds["verification"]),
    }


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
def main(work_dir: Path, repeats: int):
    """Measure, and end with one line of JSON."""
    folder, figures = work_dir / "cache", {"machine": machine("numpy", "h5py", "webdataset", "torch")}
    for backend, num_views in itertools.product(tuple(BACKENDS), NUM_VIEWS):
        name = f"{backend}, views: {1 + num_views}"
        figures[name] = safety_when_fast(folder, backend, num_views, repeats)
        reader = write(folder / "read", backend, num_views)
        figures[name] |= bytes_per_frame(reader) | compare_reads(reader, repeats)
        reader.close()
        if not num_views:
            figures[name]["epochs"] = epoch_costs(folder / "read")
        click.echo(f"{name}: {figures[name]}", err=True)
    figures["extraction on the CPU"] = safety_of_extraction(folder, repeats)
    fresh(folder)
    finish("cache", figures)


if __name__ == "__main__":
    main()
