"""A scripted session on a cache, to be cut anywhere and taken up again, and everything that it leaves there to be read.

Knows the doors of a cache and what the script put through them; knows neither files nor how they are published.
"""

from contextlib import closing
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
from pytest import MonkeyPatch

from embedonce.cache import commit
from embedonce.cache.errors import AlreadyCommittedError, NotACacheError
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.registry import Location
from embedonce.cache.writer import CacheWriter
from tests.conftest import make_batch, make_cache_identity, make_segment, planned_segment, planned_video
from tests.support.fake_teacher import fake_identity
from tests.support.recorded_operations import IN_FLUX

UNITS = {  # videos a and b were asked for in three units, c in a fourth; of b every frame turned out corrupt
    "000000": make_batch(make_segment("a", 4)),
    "000001": make_batch(make_segment("a", 2, first_k=4), seed=1),
    "000002": make_batch(make_segment("b", 0)),
    "000003": make_batch(make_segment("c", 2), seed=2),
}
LABELS = LabelSet("main", "zero-shot", ("cut", "stir"), (("a",), ("b",)), 100.0, {})
CLIPS = (ClipLabel("c0", "a", 0.0, 2.0, 1, "train"),)
REVISED = (ClipLabel("c0", "a", 0.0, 2.0, 0, "val"),)
LOGITS = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
FACTS = QuarantinedVideo("x.mp4", "no video stream", 1, 2)
SECOND = fake_identity(name="second", weights_sha256="2" * 64, embed_dim=4)


# -- the script ----------------------------------------------------------------------------------------------------


def run_session(root: Location, backend: str, mark=lambda key, value: None, units=UNITS) -> None:
    """Fill a cache, or do what is missing in one that an earlier session left; mark what is acknowledged."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        mark("identity", plain(writer.identity))
        extend_plan(writer, 0, {"a": 6, "b": 4}, mark)
        for unit in ("000000", "000001", "000002"):
            commit_unit(writer, unit, units[unit], mark)
        label(writer, mark)
        writer.quarantine("x.mp4", FACTS)
        mark("x.mp4", FACTS)
        mark("y.mp4", IN_FLUX)
        writer.quarantine("y.mp4", FACTS)
        mark("y.mp4", FACTS)
        mark("y.mp4", IN_FLUX)
        writer.release("y.mp4")
        mark("y.mp4", None)
        extend_plan(writer, 1, {"c": 2}, mark)
        commit_unit(writer, "000003", units["000003"], mark)
        mark("clips", IN_FLUX)
        if writer.reader().label_set("main").clips != REVISED:
            writer.revise_clips("main", [list(REVISED), []])
        mark("clips", REVISED)
        add_teacher(writer, mark)


def extend_plan(writer: CacheWriter, part: int, num_rows: dict[str, int], mark) -> None:
    if len(writer.plan) == part:
        requests = [planned_segment(uid, rows) for uid, rows in num_rows.items()]
        writer.extend_plan([planned_video(uid) for uid in num_rows], requests, shard_frames=4)
    mark(f"plan {part}", plain(writer.plan[part]))


def commit_unit(writer: CacheWriter, unit: str, batch: FrameBatch, mark) -> None:
    if unit not in writer.committed_units():
        writer.commit_frames(unit, batch, {})
    mark(unit, (plain(batch.segments), batch.keys, list(batch.jpegs), batch.embeddings.tobytes()))


def label(writer: CacheWriter, mark) -> None:
    writer.create_label_set(LABELS, b"tensors")
    mark("labels", (LABELS.classes, b"tensors"))
    writer.publish_clips("main", 0, list(CLIPS))
    if writer.reader().label_set("main").clips == CLIPS:
        mark("clips", CLIPS)
    if "000000" not in writer.reader().logits_units("main"):
        writer.commit_logits("main", "000000", UNITS["000000"].keys, LOGITS, {})
    mark("logits", LOGITS.tobytes())


def add_teacher(writer: CacheWriter, mark) -> None:
    writer.teachers.create("second", SECOND)
    mark("second", SECOND)
    teachers = writer.reader().teachers
    for unit in ("000000", "000002"):
        if unit in teachers.lacking("second"):
            writer.teachers.commit("second", unit, *second_rows(unit), {})
        mark(f"second {unit}", tuple(column.tobytes() for column in second_rows(unit)))


def second_rows(unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and checksums of the added teacher."""
    rows = len(UNITS[unit].jpegs)
    return np.full((rows, 2, 4), 0.5, np.float16), np.full((rows, 2), int(unit), np.uint32)


def race(root: Path, backend: str, mark) -> bool:
    """Two writers whom no lock kept apart: one commits a unit just when the other is about to publish its record.

    Returns whether the other one was refused.
    """
    open_writer(root, make_cache_identity(backend)).close()
    first = open_writer(root, make_cache_identity(backend))
    first.close()
    second = open_writer(root, make_cache_identity(backend))
    publish = commit.publish
    with MonkeyPatch.context() as patch:

        def late(path: Path, data: bytes) -> None:
            if path.parent.name == "records":
                patch.undo()
                commit_unit(first, "000000", UNITS["000000"], mark)
            publish(path, data)

        patch.setattr(commit, "publish", late)
        try:
            second.commit_frames("000000", UNITS["000003"], {})
        except AlreadyCommittedError:
            return True
        finally:
            second.close()
    return False


def plain(value):
    """Data of the cache's schema as tuples that compare."""
    if is_dataclass(value):
        return tuple(plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return tuple(map(plain, value)) if isinstance(value, (tuple, list)) else value


# -- what is in a cache, under the keys of the marks -----------------------------------------------------------------


def contents(root: Location, backend: str) -> dict:
    """Everything that is committed in root, read and verified; empty where there is no cache."""
    try:
        reader = open_reader(root)
    except NotACacheError:
        return {}
    found = {"identity": plain(reader.identity)}
    for unit, record in reader.records.items():
        found[unit] = (plain(record.segments), *rows_of(reader, unit, record))
    if reader.label_sets():
        labels = reader.label_set("main")
        found["labels"] = (labels.classes, reader.label_tensors("main"))
        found |= {"clips": labels.clips} if labels.clips else {}
        for unit in reader.logits_units("main"):
            shard = reader.logits("main", unit)
            assert shard.keys() == reader.frames(unit).keys(), f"logits of {unit} are of other rows"
            found["logits"] = np.stack([shard.logits(0, 4, view) for view in range(2)], axis=1).tobytes()
    for name in reader.teachers.names():
        found[name] = reader.teachers.read(name).identity
        for unit in reader.teachers.records(name):
            columns = reader.teachers.all_embeddings(name, unit), reader.teachers.all_crop_crc32(name, unit)
            found[f"{name} {unit}"] = tuple(column.tobytes() for column in columns)
    reader.close()
    with closing(open_writer(root, reader.identity)) as writer:
        found |= {f"plan {part.part}": plain(part) for part in writer.plan}
        found |= writer.quarantined()
    return found


def rows_of(reader, unit: str, record) -> tuple:
    if not record.num_rows:
        return [], [], b""
    shard, rows = reader.frames(unit), range(record.num_rows)
    assert shard.keys() == [key for segment in record.segments for key in segment.keys], f"{unit} has other rows"
    embeddings = np.stack([shard.embeddings(0, len(rows), view) for view in range(2)], axis=1)
    return shard.keys(), [shard.jpeg(row) for row in rows], embeddings.tobytes()


def examine(backend: str, folder: Path) -> tuple[dict, list[str]]:
    """What is in the cache of a state, and what is wrong with it."""
    return examine_cache(backend, folder / "cache")


def examine_and_resume(backend: str, expected: dict, folder: Path) -> tuple[dict, list[str]]:
    """examine, and then the session taken up again, which must end in the expected content."""
    found, complaints = examine(backend, folder)
    return found, complaints + resume(backend, expected, folder / "cache")


def examine_cache(backend: str, root: Location) -> tuple[dict, list[str]]:
    """What is in a cache, and what is wrong with it."""
    try:
        return contents(root, backend), []
    except Exception as error:  # whatever it is: no state may lead to it
        return {}, [f"{type(error).__name__}: {error}"]


def resume(backend: str, expected: dict, root: Location, session=run_session) -> list[str]:
    """Take a session up again; what is then not as expected."""
    try:
        session(root, backend)
        resumed = contents(root, backend)
    except Exception as error:
        return [f"resuming ends in {type(error).__name__}: {error}"]
    differing = [key for key in expected | resumed if expected.get(key) != resumed.get(key)]
    return [f"{key} is another one after resuming" for key in differing]
