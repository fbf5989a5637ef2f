"""What is done with a cache takes work in proportion to its units: counted in lines that run, never timed."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import long_documents, plan_writer
from embedonce.cache.convert import convert
from embedonce.cache.inspect import summary
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.merging.merge import merge
from embedonce.cache.number_lists import cut
from embedonce.cache.parsed_folder import ParsedFolder
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_cache_identity, planned_video, second_backend_slow
from tests.support.counted_lines import lines_of
from tests.support.planned_cache import batch_of, commit_units, plan_videos, requests_of
from tests.support.stored import stored

SIZES = (16, 32, 48)  # units: equal steps, so that work in proportion grows by equal amounts
TOLERANCE = 1.012  # of the second step in the first one: 1.006 was seen, and 1.024 of the smallest quadratic walk
SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("verify", "inspect", "convert", "rebuild", "merge again")
]
LABELS = LabelSet("main", "zero-shot", ("cut", "stir"), (("a",), ("b",)), 1.0, {})


@pytest.fixture(autouse=True, scope="module")
def types_of_fields_are_known(tmp_path_factory):
    """What a process finds out once, about the types of dataclasses, does not count."""
    fill(tmp_path_factory.mktemp("first") / "cache", "hdf5", 1)


@pytest.fixture(autouse=True)
def many_small_documents(monkeypatch):
    """Parts and continuations in proportion to the units, as in great caches."""
    monkeypatch.setattr(plan_writer, "cut_parts", partial(cut_parts, num_bytes=1000))
    monkeypatch.setattr(long_documents, "MAX_BYTES", 300)


def fill(root: Path, backend: str, num_units: int) -> None:
    """A cache of this many units of four rows, planned in one extension and written as extractions do."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        plan_videos(writer, {f"v{number:04d}": 4 for number in range(num_units)})
        for unit in writer.units:
            assert writer.planned_videos[unit.segments[0].video_uid].num_requests == 6
            writer.commit_frames(unit.name, batch_of(unit), {})
        label(writer)
        writer.write_manifest()
        assert not writer.rebuild_manifest_if_stale()


def label(writer: CacheWriter) -> None:
    writer.create_label_set(LABELS, None)
    for part in writer.plan:
        clips = [ClipLabel(f"{video.uid}:0", video.uid, 0.0, 3.0, 1, "train") for video in part.videos]
        writer.publish_clips("main", part.part, clips)
    reader = writer.reader()
    for unit in reader.records:
        writer.commit_logits("main", unit, reader.records[unit].keys, np.zeros((4, 2, 2), np.float32), {})


def read(root: Path) -> None:
    """Every row, every logit and every clip."""
    with closing(open_reader(root)) as reader:
        for unit in reader.records:
            assert reader.batch(unit).keys and reader.all_logits("main", unit).shape == (4, 2, 2)
        clips = reader.label_set("main").clips
        assert clips and all(reader.shows(clip) for clip in clips)
        assert len(reader.plan()) > 2 and len(reader.planned_uids()) == len(reader.records)


def open_to_write(root: Path, backend: str) -> None:
    open_writer(root, make_cache_identity(backend)).close()


def rebuild(root: Path) -> None:
    for path in (root / "plan").iterdir():
        path.unlink()
    assert rebuild_plan(root).is_done


def grows_in_proportion(work: Callable[[int], object]) -> bool:
    small, medium, large = (lines_of(partial(work, size)) for size in SIZES)
    assert 0 < small < medium
    return large - medium <= TOLERANCE * (medium - small)


def test_filling_a_cache(tmp_path, backend):
    assert grows_in_proportion(lambda size: fill(tmp_path / str(size), backend, size))


@second_backend_slow
@pytest.mark.parametrize("name", ["open to write", "read", "merge", *SLOW])
def test_using_a_cache(tmp_path, backend, name):
    for size in SIZES:
        fill(tmp_path / str(size), backend, size)
    work = {
        "read": read,
        "open to write": partial(open_to_write, backend=backend),
        "verify": lambda root: verify(root),
        "inspect": lambda root: summary(root),
        "convert": lambda root: convert(root, root / "../copy" / root.name, "hdf5"),
        "rebuild": rebuild,
        "merge": lambda root: merge([root], root / "../merged" / root.name),
        "merge again": lambda root: merge([root], root / "../merged" / root.name),
    }[name]
    if name == "merge again":
        for size in SIZES:
            work(tmp_path / str(size))
    assert grows_in_proportion(lambda size: work(tmp_path / str(size)))


def test_opening_a_cache_makes_no_objects_for_rows(tmp_path, backend):
    """No lines of Python, and no text for the JSON parser, which makes an object of each number."""
    lines, texts = [], []
    for num_rows in (50, 500):
        root = tmp_path / str(num_rows)
        with closing(open_writer(root, make_cache_identity(backend))) as writer:
            writer.extend_plan([planned_video("v0")], [requests_of("v0", num_rows)], num_rows)
            commit_units(writer, ["000000"])
        lines.append((lines_of(lambda root=root: open_reader(root)), lines_of(partial(open_to_write, root, backend))))
        paths = (root / "records/000000.json", root / "plan/000000.json")
        texts.append([len(b"".join(cut(path.read_bytes())[0])) for path in paths])
    assert lines[0] == lines[1]
    assert np.abs(np.subtract(*texts)).max() < 20  # digits of a few totals


@second_backend_slow
def test_a_quadratic_walk_would_be_noticed(tmp_path, backend, monkeypatch):
    commit = CacheWriter.commit_frames

    def walking(writer, *arguments):
        writer.check_plan()  # which lists all records
        commit(writer, *arguments)

    monkeypatch.setattr(CacheWriter, "commit_frames", walking)
    assert not grows_in_proportion(lambda size: fill(tmp_path / str(size), backend, size))


def test_what_is_known_of_a_folder_is_not_copied_for_each_look(tmp_path, backend):
    """Copies are made without a line of Python, so that no count of lines would show them."""
    fill(tmp_path / "c", backend, 2)
    layout = Layout.at(tmp_path / "c")
    folder = ParsedFolder(stored(tmp_path / "c" / "records"), lambda path: path.name)
    known = folder.values()
    assert folder.values() is known and known == {"000000": "000000.json", "000001": "000001.json"}
    folder.add(layout.frame_paths().records / "000001.json", "again")
    assert known["000001"] == "000001.json" and folder.values()["000001"] == "again"
    with closing(open_writer(tmp_path / "c", make_cache_identity(backend))) as writer:
        assert writer.planned_videos is writer.planned_videos
        reader = writer.reader()
        assert reader.label_records("main") is reader.label_records("main")
