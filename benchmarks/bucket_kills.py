"""An extraction of made rows to a local S3, killed at random moments and taken up again, against one that nobody stops.

    python -m benchmarks.bucket_kills --rows 1000000 --kills 20 --work-dir results/benchmarks

Every kill is SIGKILL of the process that writes. The next one is refused while the lease of the killed one is valid,
and continues when it has expired. In the end all objects of both caches must have the same bytes.
"""

import json
import multiprocessing
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import click
import numpy as np

from benchmarks.made_rows import Size, extract
from benchmarks.measuring import finish, machine
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import BusyError
from embedonce.cache.layout import LOCK
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.stores.lease_folder import LeaseTimes
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import verify
from embedonce.pipeline.progress import Progress
from tests.support.s3_server import new_bucket, objects, s3_server

BRIEF = LeaseTimes(valid_sec=3.0, renew_sec=0.5)
EARLY_SEC = 6.0  # within which a process has started, waited for the lease and opened the cache
SECONDS_TO_END = 600.0  # without a message of the process that writes


@dataclass
class Killed:
    """What the kills hit and left. processes: of those that were killed; told: what they said was committed."""

    stages: Counter = field(default_factory=Counter)
    processes: list[int] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    shards_without_record: int = 0
    refusals: int = 0


def work(pipe: Connection, url: str, backend: str, size: Size) -> None:
    """In a process of its own: extract, and wait for the lease of a process that was killed."""
    store = ObjectStore(ObjectRequests(url), lease_times=BRIEF)
    while True:
        try:
            return extract(store, backend, size, pipe.send)
        except BusyError as error:
            pipe.send(f"refused {error}")
            time.sleep(0.2)


def run(
    url: str, backend: str, size: Size, strike: tuple[int, float] | None, told: Callable[[str], None]
) -> int | None:
    """Run it to its end, or kill it so many seconds after that many messages. Returns the process killed, or None."""
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(other, url, backend, size))
    process.start()
    other.close()
    try:
        left = sys.maxsize if strike is None else strike[0]
        while left:
            message = _next(pipe)
            told(message)
            left -= is_commit(message)
            if message == "done":
                process.join()
                return None
        process.join(strike[1] if strike else None)
        while pipe.poll():
            told(_next(pipe))
        return process.pid if process.is_alive() else None
    finally:
        process.kill()
        process.join()


def is_commit(message: str) -> bool:
    return message.startswith(("frames ", "logits "))


def _next(pipe: Connection) -> str:
    if not pipe.poll(SECONDS_TO_END):
        raise RuntimeError(f"the process that writes has said nothing for {SECONDS_TO_END:.0f} seconds")
    return pipe.recv()


def moments(generator: np.random.Generator, kills: int, commits: int, seconds: float) -> Iterator[tuple[int, float]]:
    """When to kill each process: after this many commits of its own, and so many seconds more.

    commits, seconds: of the uninterrupted run. Three of four kills are spread over the first nine tenths of all commits
    at random; the others come while the process starts, waits for the lease, or opens the cache.
    """
    places = np.sort(generator.integers(0, 9 * commits // 10, kills))
    for after in np.diff(places, prepend=0):
        is_early = generator.random() < 0.25
        yield (
            0 if is_early else int(after),
            float(generator.uniform(0, EARLY_SEC if is_early else 2 * seconds / commits)),
        )


def kill_often(url: str, backend: str, size: Size, when: Iterator[tuple[int, float]], progress: Progress) -> Killed:
    """Kill the extraction at each of these moments, look at what is left, and let it end."""
    killed = Killed()
    for commits, delay_sec in when:
        begun: list[str] = []
        process = run(url, backend, size, (commits, delay_sec), begun.append)
        _note(killed, begun)
        if process is None:
            raise RuntimeError("the extraction was done before it was killed: use more rows, or fewer kills")
        killed.processes.append(process)
        killed.stages[_stage(begun)] += 1
        _examine(killed, url)
        progress.update()
    last: list[str] = []
    run(url, backend, size, None, last.append)
    _note(killed, last)
    return killed


def _note(killed: Killed, messages: list[str]) -> None:
    """Count what was told. A refusal must name a process that was killed."""
    refusals = [message for message in messages if message.startswith("refused ")]
    killed.refusals += bool(refusals)
    killed.told |= set(filter(is_commit, messages))
    for message in refusals:
        named = re.search(r"by process (\d+) on host '.+' since ", message)
        if named is None or int(named[1]) not in killed.processes:
            killed.invalid.append(message)


def _stage(messages: list[str]) -> str:
    """What a killed process was doing."""
    if any(map(is_commit, messages)):
        return "between its commits"
    if "begun" in messages:
        return "before its first commit"
    return "after it was refused" if messages else "before the lease"


def _examine(killed: Killed, url: str) -> None:
    """Every unit that was told to be committed is there, and every record is that of a whole shard."""
    store = ObjectStore.from_url(url)
    if not has_cache(store):
        killed.lost += killed.told
        return
    with closing(open_reader(store)) as reader:
        suffix, folders = BACKENDS[reader.identity.backend].suffix, {"frames": "frames", "logits": "labels/main/logits"}
        labels = reader.catalog.labels.records("main") if reader.label_sets() else {}
        records = {"frames": reader.records, "logits": labels}
    for column, folder in folders.items():
        shards = store.versions(folder)
        for unit, record in records[column].items():
            shard = shards.pop(f"{folder}/{unit}{suffix}", None)
            if shard is None or shard.num_bytes != record.num_bytes:
                killed.invalid.append(f"the shard of {column} {unit} is {shard}")
        killed.shards_without_record += len(shards)
        killed.lost += [name for name in killed.told if name.startswith(column) and name[7:] not in records[column]]


def compare(endpoint: str, killed_url: str, whole_url: str) -> dict:
    """Whether both caches have the same objects, but for leases, and the verification of the killed one."""
    ours, theirs = (
        {name: data for name, data in objects(endpoint, url).items() if not name.startswith(f"{LOCK}/")}
        for url in (killed_url, whole_url)
    )
    report = verify(killed_url)
    return {
        "objects": len(theirs),
        "objects that differ": sum(ours.get(name) != theirs.get(name) for name in ours.keys() | theirs.keys()),
        "rows": report.num_rows,
        "shards verified": report.num_shards,
        "problems": [problem.message for problem in report.problems],
        "files that nothing refers to": len(report.extra),
    }


@click.command()
@click.option("--rows", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--backend", type=click.Choice(list(BACKENDS)), default="hdf5", show_default=True)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(rows: int, kills: int, backend: str, work_dir: Path, seed: int):
    """Kill and compare, and end with one line of JSON; exit code 1 where a promise was broken."""
    size, start = Size(rows), time.monotonic()
    with s3_server() as endpoint, Progress(kills, f"{backend}, kills", "kills") as progress:
        urls = [f"s3://{new_bucket(endpoint)}/{name}" for name in ("whole", "killed")]
        messages: list[str] = []
        run(urls[0], backend, size, None, messages.append)
        seconds = time.monotonic() - start
        when = moments(np.random.default_rng(seed), kills, sum(map(is_commit, messages)), seconds)
        killed = kill_often(urls[1], backend, size, when, progress)
        figures = compare(endpoint, urls[1], urls[0])
    figures |= {
        "kills": len(killed.processes),
        "stages": dict(killed.stages),
        "runs that waited for the lease of a killed one": killed.refusals,
        "shards without a record after a kill": killed.shards_without_record,
        "acknowledged commits lost": sorted(set(killed.lost)),
        "invalid states": killed.invalid,
        "seconds of the uninterrupted run": round(seconds),
        "seconds": round(time.monotonic() - start),
        "seed": seed,
    }
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / "bucket_kills.json").write_text(json.dumps(figures, indent=1))
    finish("bucket_kills", {"machine": machine("h5py", "s3fs", "moto", "numpy"), **figures})
    broken = ("objects that differ", "problems", "files that nothing refers to", "acknowledged commits lost")
    sys.exit(any(figures[name] for name in (*broken, "invalid states")) or figures["rows"] != rows)


if __name__ == "__main__":
    main()
