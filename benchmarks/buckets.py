"""Reading a cache in a bucket, against a plain download and against a folder, and what commits to a bucket cost.

    python -m benchmarks.buckets --work-dir results/benchmarks

The server is moto's, a process of its own on this machine, so there is no network, and it takes processor time itself.
"""

import contextlib
import itertools
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from benchmarks.measuring import finish, interleaved, machine
from benchmarks.safety import DIM, FAST, ROWS, fresh, rows_of
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.convert import convert
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.pipeline.extraction.commit_thread import Committer
from tests.conftest import make_cache_identity
from tests.support.s3_server import client, directed_to, new_bucket

NUM_SHARDS, WINDOW = 12, 8
RANGE_BYTES = 8 << 20  # of the plain download
NUM_COMMITS, BLOCK = (24, 96), 8  # commits of a run, of so many different shards


@contextlib.contextmanager
def server(port: int) -> Iterator[str]:
    """The endpoint of an S3 in another process."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(endpoint).close()
                break
            time.sleep(0.1)
        with directed_to(endpoint):
            yield endpoint
    finally:
        process.kill()
        process.wait()


def download(url: str, names: list[str]) -> None:
    """Read all bytes of these files in ranges, one after another, and drop them."""
    requests = ObjectRequests(url)
    for name in names:
        requests.run(name, "read", _read_ranges)


def _read_ranges(file_system, path: str) -> None:
    size = file_system.info(path)["size"]
    for start in range(0, size, RANGE_BYTES):
        file_system.cat_file(path, start=start, end=min(size, start + RANGE_BYTES))


def read_rows(reader: CacheReader) -> None:
    """Every JPEG and embedding, window by window, shard after shard; as a training does, told to the store before."""
    units = sorted(reader.records)
    reader.prefetch(units)
    for position, unit in enumerate(units):
        shard = reader.frames(unit)
        reader.prefetch(units[position + 1 :])
        for first in range(0, ROWS, WINDOW):
            for row in range(first, first + WINDOW):
                shard.jpeg(row)
            shard.embeddings(first, first + WINDOW, 0)


def reading(folder: Path, cache: Path, url: str, repeats: int) -> dict:
    """A first epoch through empty local copies, and later ones, against what they could be at best."""
    reader = open_reader(cache)
    names = [f"frames/{unit}.{'h5' if reader.identity.backend == 'hdf5' else 'tar'}" for unit in sorted(reader.records)]
    numbers = itertools.count()

    def through_copies() -> CacheReader:
        return open_reader(ObjectStore.from_url(url, LocalCopies.create(folder / f"copies{next(numbers)}", 1 << 40)))

    warm, local = through_copies(), open_reader(cache)
    for known in (warm, local):
        read_rows(known)
    seconds = interleaved(
        {
            "plain download": lambda: download(url, names),
            "first epoch through local copies": lambda: read_rows(through_copies()),
            "later epoch through local copies": lambda: read_rows(warm),
            "later epoch from a folder": lambda: read_rows(local),
            "verification of a folder": lambda: read_rows(open_reader(cache)),
        },
        repeats,
    )
    ratio = seconds["plain download"] / seconds["first epoch through local copies"]
    later = seconds["later epoch from a folder"] / seconds["later epoch through local copies"]
    fresh(folder)
    return {
        "megabytes": round(sum((cache / name).stat().st_size for name in names) / 1e6),
        **{f"{name}, s": round(value, 3) for name, value in seconds.items()},
        "first epoch: plain download / ours": round(ratio, 2),
        "later epochs: folder / ours": round(later, 2),
    }


def commits(folder: Path, endpoint: str, num_units: int, repeats: int) -> dict:
    """How much later an extraction of FAST frames a second ends because its shards are committed beside the teacher.

    The teacher's time passes in sleep, as on an accelerator. Bare uploads: put_object of boto3, of ready shards, by as
    many threads.
    """
    batches, numbers, bucket = [rows_of(number, 0) for number in range(BLOCK)], itertools.count(), new_bucket(endpoint)
    identity = make_cache_identity("hdf5", 0, embed_dim=DIM)

    def extraction(place: Path | str) -> None:
        with contextlib.closing(open_writer(place, identity)) as writer, Committer(writer) as committer:
            for number in range(num_units):
                time.sleep(ROWS / FAST)
                committer.submit(f"{number:06d}", batches[number % BLOCK], {})

    shards, s3 = [BACKENDS["hdf5"].encode_frames(batch).data for batch in batches], client(endpoint)

    def bare_uploads() -> None:
        with ThreadPoolExecutor(ObjectStore.puts_at_once) as threads:
            for number in range(num_units):
                time.sleep(ROWS / FAST)
                threads.submit(s3.put_object, Bucket=bucket, Key=f"bare/{number}", Body=shards[number % BLOCK])

    calls = {
        "nothing is committed": lambda: time.sleep(num_units * ROWS / FAST),
        "to a folder": lambda: extraction(fresh(folder)),
        "to a bucket": lambda: extraction(f"s3://{bucket}/{next(numbers)}"),
        "bare uploads": bare_uploads,
        "opening and closing": lambda: open_writer(f"s3://{bucket}/{next(numbers)}", identity).close(),
        "tidy": lambda: (fresh(folder), ObjectStore.from_url(f"s3://{bucket}").delete_folder("")),
    }
    seconds = interleaved(calls, repeats)
    best = seconds["nothing is committed"]
    later = {f"{name}, later by": seconds[name] / best - 1 for name in ("to a folder", "to a bucket", "bare uploads")}
    found = {**later, "opening and closing in a bucket, s": seconds["opening and closing"]}
    return {"units": num_units, "frames/s": FAST, **{name: round(value, 3) for name, value in found.items()}}


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
@click.option("--port", type=int, default=5678, show_default=True, help="Of the S3 server.")
def main(work_dir: Path, repeats: int, port: int):
    """Measure, and end with one line of JSON."""
    folder, figures = work_dir / "buckets", {"machine": machine("s3fs", "moto", "h5py")}
    with server(port) as endpoint:
        for backend in ("hdf5", "webdataset"):
            cache, url = fresh(folder / backend), f"s3://{new_bucket(endpoint)}/cache"
            _write(cache, backend)
            convert(cache, url, backend)
            figures[backend] = reading(folder / "copies", cache, url, repeats)
            click.echo(f"{backend}: {figures[backend]}", err=True)
        figures["commits"] = [commits(folder / "commits", endpoint, num_units, repeats) for num_units in NUM_COMMITS]
    fresh(folder)
    finish("buckets", figures)


def _write(cache: Path, backend: str) -> None:
    writer = open_writer(cache, make_cache_identity(backend, 0, embed_dim=DIM))
    for number in range(NUM_SHARDS):
        writer.commit_frames(f"{number:06d}", rows_of(number, 0), {})
    writer.close()


if __name__ == "__main__":
    main()
