"""Caches that somebody made to do harm: every checksum is right, and what it vouches for is not what the format says.

Knows how documents are sealed, how records vouch for shards, and every way to use a cache; what is planted is the
tests' own.
"""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.inspect import summary
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.preflight import pending_of
from embedonce.pipeline.frames import canonical_frame
from tests.extraction.test_runner import make_source, run
from tests.support.crash_session import FACTS
from tests.support.fake_teacher import write_zero_shot
from tests.support.stored import stored
from tests.support.videos import write_video

LABEL_SET = "labels/zero-shot"
COLUMNS = {"frames": ("frames", "records"), "logits": (f"{LABEL_SET}/logits", f"{LABEL_SET}/records")}
MEGABYTES = 1 << 20
WAITING = 10  # times the processor time that is allowed: other processes may be busy


@contextmanager
def spoilable(tmp_path: Path, backend: str) -> Iterator[Path]:
    """A sound cache to spoil. Whatever a payload in it would do, it is to do to tmp_path / "sentinel"."""
    sound = tmp_path.parent / f"sound-{backend}"
    if not sound.exists():
        _make_sound_cache(sound, backend)
    yield shutil.copytree(sound / "cache", tmp_path / "cache")
    assert not (tmp_path / "sentinel").exists()


def _make_sound_cache(root: Path, backend: str) -> None:
    """Two units, and something of everything, with nothing to be said against it."""
    root.mkdir()
    write_video(root / "a.mp4", 60)
    source = make_source(root, ["a"])
    run(source, root / "cache", backend=backend, views=1)
    with closing(open_writer(root / "cache", read_identity(root / "cache"))) as writer:
        write_zero_shot(writer, source)
        writer.quarantine("x.mp4", FACTS)
        writer.count_attempt("y", "a decode process died")
    assert refusals(root / "cache") == {}


def write_sealed(path: Path, document: dict) -> None:
    """A document with the checksum that it should have, whatever it says, NaN and Infinity too."""
    body = json.dumps({name: value for name, value in document.items() if name != "checksum"}).encode()
    path.write_bytes(body[:-1] + documents._checksum_field(body))


def plant_shard(root: Path, column: str, data: bytes, **changes) -> None:
    """Put data in the place of the first shard of a column, and let its record vouch for it. changes: of the record."""
    shards, records = (root / folder for folder in COLUMNS[column])
    next(shards.glob("000000.*")).write_bytes(data)
    path = records / "000000.json"
    write_sealed(path, documents.read(stored(path)) | {"num_bytes": len(data), "sha256": sha256(data)} | changes)


def pickle_of(sentinel: Path) -> bytes:
    """What makes a folder of this name where it is unpickled."""
    return b"cposix\nmkdir\n(V%s\ntR." % bytes(sentinel)


def refusals(root: Path) -> dict[str, str]:
    """What reading, verifying, inspecting and writing a cache say against it. Lets any foreign error through."""
    said = {}
    for way, use in {"read": _read, "verify": _verify, "inspect": summary, "write": _write}.items():
        try:
            use(root)
        except CacheError as error:
            assert error.exit_code == 4, error
            said[way] = str(error)
    return said


def _read(root: Path) -> None:
    with closing(open_reader(root)) as reader:
        for uid in reader.video_uids:
            reader.timeline(uid)
        for unit in reader.records:
            reader.batch(unit)
        for name in reader.label_sets():
            reader.label_set(name), reader.label_tensors(name)
            for unit in reader.logits_units(name):
                reader.all_logits(name, unit)


def _verify(root: Path) -> None:
    report = verify(root, lambda jpeg, views, side: canonical_frame.crc32(canonical_frame.replay(jpeg, views, side)))
    if report.problems:
        raise DamagedError("; ".join(problem.message for problem in report.problems))


def _write(root: Path) -> None:
    with closing(CacheWriter(root, read_identity(root))) as writer:
        pending_of(read_state(root))
        writer.attempts(), sorted(writer.quarantined()), writer.rebuild_manifest_if_stale()


def assert_unit_refused(root: Path) -> None:
    """Nothing of unit 000000 is given, by anyone, nor is more than a little memory taken for it."""
    with bounded(seconds=4):
        with closing(open_reader(root)) as reader, pytest.raises(DamagedError, match="000000"):
            reader.batch("000000"), reader.all_logits("zero-shot", "000000")
        assert {"read", "verify"} <= refusals(root).keys()


class Hung(BaseException):
    """What was to be refused waits, or goes round in circles."""


@contextmanager
def bounded(megabytes: int = 64, seconds: float = 10) -> Iterator[None]:
    """Fails where what is done inside takes more memory or processor time than this, or waits far longer."""
    busy = _stopped(signal.ITIMER_PROF, signal.SIGPROF, seconds)
    waiting = _stopped(signal.ITIMER_REAL, signal.SIGALRM, WAITING * seconds)
    with busy, waiting, _within(megabytes):
        yield


@contextmanager
def _stopped(timer: int, number: signal.Signals, seconds: float) -> Iterator[None]:
    def stop(*_) -> None:
        raise Hung(f"{number.name} after {seconds} s")

    handler = signal.signal(number, stop)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, handler)


@contextmanager
def _within(megabytes: int) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _high_water_bytes()
    yield
    taken = _high_water_bytes() - before
    assert taken < megabytes * MEGABYTES, f"{taken / MEGABYTES:.0f} MB were taken"


def _high_water_bytes() -> int:
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
