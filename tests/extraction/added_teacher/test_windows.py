"""Added teachers of windows: what they are shown, what is stored for each row, and what is refused."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.windows import row_windows
from embedonce.pipeline.teachers import registry
from tests.commands.test_cli import call, error_of
from tests.support.embedded_cache import make_extracted_cache
from tests.support.own_teachers import WINDOWED

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_LOADERS", registry.registered())


@pytest.fixture
def cache(tmp_path) -> Path:
    return make_extracted_cache(tmp_path / "cache")


def written(tmp_path: Path, code: str = WINDOWED) -> Path:
    path = tmp_path / "windowed.py"
    path.write_text(code)
    return Path(f"{path}:build")


def command(cache: Path, module: Path, *options: object) -> tuple:
    return (
        "add-teacher",
        "--cache-dir",
        cache,
        "--name",
        "video",
        "--teacher-module",
        module,
        "--device",
        "cpu",
        *options,
    )


def expected(cache: Path, unit: str) -> np.ndarray:
    """(N, 1+K, D): each row's window, embedded by hand: mean color of each third of its frames, in order."""
    with closing(open_reader(cache)) as reader:
        teacher = reader.teachers.read("video").identity
        rows = []
        for window in row_windows(reader.records[unit].segments, 3, 2):
            views = reader.views_of(unit, window.rows.start)
            seen = [canonical_frame.replay(reader.frames(unit).jpeg(int(row)), views, 32) for row in window.frames]
            means = np.stack([crops.mean((1, 2)) for crops in seen], axis=1).reshape(len(views), -1) + 1
            rows += [means / np.linalg.norm(means, axis=1, keepdims=True)] * len(window.rows)
        assert (teacher.window, teacher.window_stride, teacher.embed_dim) == (3, 2, 9)
        return np.array(rows)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_row_has_the_embedding_of_its_window(cache, tmp_path, batch_size):
    output = call(*command(cache, written(tmp_path), "--batch-size", batch_size))
    assert "18 frames" in output
    assert "9-d, windows of 3 frames, stride 2, input 32 px" in call("inspect-cache", "--cache-dir", cache)
    with closing(open_reader(cache)) as reader:
        for unit in reader.records:
            found = reader.teachers.all_embeddings("video", unit).astype(np.float64)
            np.testing.assert_allclose(found, expected(cache, unit), atol=2e-3)
            shown = [
                canonical_frame.replay(jpeg, reader.views_of(unit, row), 32)
                for row, jpeg in enumerate(reader.batch(unit).jpegs)
            ]
            checksums = np.array([canonical_frame.crc32(crops) for crops in shown])
            np.testing.assert_array_equal(reader.teachers.all_crop_crc32("video", unit), checksums)
    assert verify(cache, canonical_frame.replayed_crc32).problems == []


def test_the_same_command_again_checks_windows_and_embeds_nothing(cache, tmp_path):
    call(*command(cache, written(tmp_path)))
    assert "0 frames" in call(*command(cache, written(tmp_path)))
    changed = WINDOWED.replace("+ 1", "+ 100 * self.weights.sum()")
    assert "does not reproduce" in error_of(*command(cache, written(tmp_path, changed)), code=4)


def test_several_processes_embed_the_same_windows(cache, tmp_path):
    call(*command(cache, written(tmp_path), "--teacher-processes", "2"))
    with closing(open_reader(cache)) as reader:
        for unit in reader.records:
            found = reader.teachers.all_embeddings("video", unit).astype(np.float64)
            np.testing.assert_allclose(found, expected(cache, unit), atol=2e-3)


def test_another_window_or_stride_is_another_teacher(cache, tmp_path):
    call(*command(cache, written(tmp_path)))
    for old, new in (('"window": 3', '"window": 4'), ('"window_stride": 2', '"window_stride": 1')):
        changed = WINDOWED.replace(old, new).replace("(3, 3)", "(4, 3)") if "4" in new else WINDOWED.replace(old, new)
        output = error_of(*command(cache, written(tmp_path, changed)), code=4)
        assert "window" in output and "choose another --name" in output


def test_a_dry_run_counts_windows(cache, tmp_path):
    output = call(*command(cache, written(tmp_path), "--dry-run"))
    assert "18 frames in 4 of 4 shards, as 8 windows of 3 frames, 2 views each" in output
    assert "space: 4.4 kB" in output and not (cache / "teachers").exists()


def test_a_cache_is_not_made_by_a_teacher_of_windows(cache, tmp_path):
    videos = tmp_path / "videos-cache"
    arguments = ("--data-dir", videos, "--cache-dir", tmp_path / "new", "--teacher-module", written(tmp_path))
    output = error_of("extract-teacher", *arguments, "--device", "cpu", "--fps", "4")
    assert "embeds windows of 3 frames" in output and "add-teacher" in output
    assert not (tmp_path / "new" / "cache.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ('"window": 3', '"window": 0', 2, "'window' of FACTS is 0, not a number of frames from 1 to 1024"),
        ('"window": 3', '"window": 2.5', 2, "'window' of FACTS is 2.5, not a number"),
        ('"window": 3', '"window": 1', 2, "has no method embed(); embed_windows() needs 'window' in FACTS"),
        ("embed_windows", "embed", 2, "has no method embed_windows(); embed() is for windows of 1 frame"),
        (".astype(np.float32)\n\n", ".astype(np.float64)\n\n", 5, "returned float64 (3, 9) for 3 images, not float32"),
    ],
)
def test_what_is_wrong_with_a_teacher_of_windows_is_one_sentence(cache, tmp_path, old, new, code, message):
    output = error_of(*command(cache, written(tmp_path, WINDOWED.replace(old, new))), code=code)
    assert message in output and not (cache / "teachers").exists()
