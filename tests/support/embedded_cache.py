"""A cache that a fake teacher has extracted, and a second one, which adds its embeddings of the stored frames."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from embedonce.cache.added_teachers.documents import seen_views
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.registry import Location
from embedonce.pipeline.frames import canonical_frame
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import FakeTeacher, write_zero_shot
from tests.support.videos import write_video

NAME = "second"


def second_teacher(**changes) -> FakeTeacher:
    return FakeTeacher(**{"name": "other", "weights_sha256": "2" * 64, "embed_dim": 8, **changes})


def make_extracted_cache(root: Path, backend: str = "hdf5", videos: Sequence[str] = "ab") -> Path:
    """A cache of 9 rows of each of these videos in two units, with a random view and logits."""
    folder = root.parent / f"videos-{root.name}"
    folder.mkdir(exist_ok=True)
    for name in videos:
        write_video(folder / f"{name}.mp4", 90)
    source = make_source(folder, list(videos))
    run(source, root, backend=backend, views=1)
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        write_zero_shot(writer, source)
        writer.write_manifest()
    return root


def add_second_teacher(root: Location, name: str = NAME, teacher: FakeTeacher | None = None, units=None) -> None:
    """Embed these units, or all, with a teacher, without the command."""
    teacher = teacher or second_teacher()
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        writer.teachers.create(name, teacher.identity)
        reader = writer.reader()
        for unit in reader.teachers.lacking(name) if units is None else units:
            writer.teachers.commit(name, unit, *embedded(reader, teacher, unit), {"host": "here"})
        writer.write_manifest()


def embedded(reader: CacheReader, teacher: FakeTeacher, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, V, D) float16 embeddings and (N, V) uint32 checksums of the crops of a unit's rows."""
    embeddings, checksums = [], []
    for row, jpeg in enumerate(reader.batch(unit).jpegs):
        views = seen_views(reader.views_of(unit, row), teacher.identity)
        crops = canonical_frame.replay(jpeg, views, teacher.identity.input_size)
        embeddings.append(teacher.embed(crops))
        checksums.append(canonical_frame.crc32(crops))
    return np.array(embeddings, np.float16), np.array(checksums, np.uint32)
