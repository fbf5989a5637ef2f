"""The back end of docs/extending.md works: extraction, reading, labels, verification, conversion, and conformance."""

import sys
import types
from contextlib import closing

import numpy as np
import pytest

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.convert import convert
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.verify import verify
from embedonce.pipeline.frames import canonical_frame
from tests.extraction.test_runner import make_source, run
from tests.support.conformance.shard_format import ShardFormatConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.fake_teacher import write_zero_shot
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")
MAX_LINES = 40


@pytest.fixture(scope="module")
def code() -> str:
    (code,) = code_blocks(ROOT / "docs" / "extending.md", "Cache back end")
    return code


@pytest.fixture(scope="module")
def example(code):
    """The example as a module; its back end is registered while the tests of this file run."""
    module, before = types.ModuleType("npz_back_end"), set(BACKENDS)
    sys.modules[module.__name__] = module  # shards are pickled by the name of their module
    exec(compile(code, "docs/extending.md", "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]
    for name in set(BACKENDS) - before:
        del BACKENDS[name]


def test_the_example_is_short(code):
    assert sum(bool(line.strip()) for line in code.splitlines()) <= MAX_LINES


def replay(jpeg, views, side):
    return canonical_frame.crc32(canonical_frame.replay(jpeg, views, side))


@pytest.mark.integration
def test_the_example_stores_a_whole_extraction_and_converts_to_another_back_end(example, tmp_path):
    write_video(tmp_path / "a.mp4", 60)
    source, root = make_source(tmp_path, ["a"]), tmp_path / "cache"
    run(source, root, backend="npz", views=1)
    with closing(open_writer(root, read_identity(root))) as writer:
        write_zero_shot(writer, source)
        writer.write_manifest()
    report = verify(root, replay)
    assert report.problems == [] and report.extra == [] and report.num_rows == 6 and report.num_shards == 4
    assert {path.suffix for path in (root / "frames").iterdir()} == {".npz"}
    assert convert(root, tmp_path / "hdf5", "hdf5") == 4 and verify(tmp_path / "hdf5", replay).problems == []
    with closing(open_reader(root)) as ours, closing(open_reader(tmp_path / "hdf5")) as theirs:
        for unit in ours.records:
            assert ours.batch(unit).jpegs == theirs.batch(unit).jpegs
            np.testing.assert_array_equal(ours.all_embeddings(unit), theirs.all_embeddings(unit))
            np.testing.assert_array_equal(ours.all_logits("zero-shot", unit), theirs.all_logits("zero-shot", unit))


@pytest.mark.integration
def test_a_changed_byte_in_a_shard_of_the_example_is_found(example, tmp_path):
    write_video(tmp_path / "a.mp4", 60)
    run(make_source(tmp_path, ["a"]), tmp_path / "cache", backend="npz")
    shard = tmp_path / "cache" / "frames" / "000000.npz"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert any("000000" in problem.message for problem in verify(tmp_path / "cache").problems)


class TestTheExampleConforms(ShardFormatConformance):
    @pytest.fixture(autouse=True)
    def module(self, example):
        self._module = example

    def shard_format(self):
        return self._module.NpzFormat()
