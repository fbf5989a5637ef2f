"""Extraction with a fake teacher: every video is counted, and resumed runs equal uninterrupted ones."""

import dataclasses
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.cache import commit, documents
from embedonce.cache.errors import DamagedError, IdentityMismatchError, StorageError
from embedonce.cache.plan import PlannedSegment, Unit, cut_units
from embedonce.cache.schema import Status
from embedonce.cache.store import open_reader
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.teacher_check import NUM_CHECKED_ROWS
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.labeling.clip_index import ClipIndex
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.sources.source import Clip, Source, Video
from tests.conftest import planned_segment, planned_video, second_backend_slow
from tests.support.fake_teacher import SIZE, FakeTeacher, write_zero_shot
from tests.support.stored import stored
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

CRC = np.array([7, 8], np.uint32)
EMBEDDING_TOLERANCE = 2**-10  # of a unit vector's components: two steps of float16 below 1


def make_source(folder: Path, names, windows=None) -> Source:
    """Videos of this folder by stem, with a clip for each window, or one for the whole video."""
    videos = tuple(Video(name, folder / f"{name}.mp4", f"{name}.mp4") for name in names)
    spans = [(-math.inf, math.inf)] if windows is None else windows
    clips = tuple(
        Clip(f"{v.uid}-{i}", v.uid, *span, i % 2, "val" if v.uid.startswith("v") else "train")
        for v in videos
        for i, span in enumerate(spans)
    )
    return Source(folder, "folder", videos, clips, ("cut", "stir"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(["a", "b", "c", "v1"]):
        write_video(root / f"{name}.mp4", 60 + 30 * number, rotation=180 if name == "b" else 0)
    (root / "bad.mp4").write_bytes(b"no video")
    return root


def run(source: Source, cache_dir: Path, teacher=None, **changes):
    """(result, reader, teacher) of one extraction."""
    settings = {"backend": "hdf5", "shard_frames": 5, "batch_size": 4, "decode_workers": 2, "fps": 3.0, "views": 0}
    config = ExtractConfig(source.root, False, cache_dir, **(settings | changes))
    writer, teacher, result = extract(config, source, lambda: teacher or FakeTeacher())
    writer.close()
    return result, open_reader(cache_dir), teacher


def content(cache_dir: Path) -> dict:
    """key -> (pts, JPEG, bytes of the embeddings) of every row; equal only if rows were copied.

    Rows that were embedded twice may differ in the last bits: check_same_rows() compares those.
    """
    reader, rows = open_reader(cache_dir), {}
    for unit, record in reader.records.items():
        if not record.num_rows:
            continue
        shard, row = reader.frames(unit), 0
        for segment in record.segments:
            for key, pts in zip(segment.keys, segment.pts, strict=True):
                assert key not in rows
                views = [shard.embeddings(row, row + 1, v)[0] for v in range(len(segment.views))]
                rows[key] = (int(pts), shard.jpeg(row), np.stack(views).tobytes())
                row += 1
    return rows


def check_same_rows(found: dict, expected: dict) -> None:
    """Check that two content() have the same keys, times and JPEG bytes, and embeddings equal up to rounding.

    The batch of a row depends on when processes deliver it, and the size of a batch changes the last bits of a matrix
    product.
    """
    assert {key: row[:2] for key, row in found.items()} == {key: row[:2] for key, row in expected.items()}
    for key, (*_, embeddings) in found.items():
        pair = [np.frombuffer(data, np.float16).astype(np.float32) for data in (embeddings, expected[key][2])]
        np.testing.assert_allclose(*pair, rtol=0, atol=EMBEDDING_TOLERANCE, err_msg=key)


@second_backend_slow
@pytest.mark.integration
def test_every_row_is_the_frame_shown_at_its_time(folder, tmp_path, backend):
    result, reader, _ = run(make_source(folder, ["a", "b", "c"]), tmp_path / "c", backend=backend, views=2)
    assert (result.listed, result.committed, result.pending, result.quarantined) == (3, 3, 0, {})
    for uid in ("a", "b", "c"):
        timeline = reader.timeline(uid)
        assert timeline.k.tolist() == list(range(len(timeline.k))) and len(timeline.k) >= 6
        for t, unit, row in zip(timeline.t_sec, timeline.unit, timeline.row, strict=True):
            image = np.asarray(canonical_frame.decode_jpeg(reader.frames(unit).jpeg(int(row))))
            assert image.shape == (256, 640, 3)
            upright = image[::-1, ::-1] if uid == "b" else image
            assert read_number(upright) == math.floor((t - timeline.t_sec[0]) * 30 + 1e-6)


@pytest.mark.numeric
@second_backend_slow
@pytest.mark.integration
def test_embeddings_are_computed_from_the_stored_views(folder, tmp_path, backend):
    _, reader, teacher = run(make_source(folder, ["a", "b"]), tmp_path / "c", backend=backend, views=2)
    for uid in ("a", "b"):
        timeline = reader.timeline(uid)
        assert timeline.views.shape == (3, 6)
        for unit, row in zip(timeline.unit, timeline.row, strict=True):
            shard = reader.frames(unit)
            crops = np.stack([canonical_frame.load_view(shard.jpeg(int(row)), view, SIZE) for view in timeline.views])
            stored = np.stack([shard.embeddings(row, row + 1, v)[0] for v in range(3)])
            np.testing.assert_allclose(stored, teacher.embed(crops), rtol=0, atol=EMBEDDING_TOLERANCE)


@pytest.mark.numeric
@pytest.mark.integration
def test_both_backends_store_the_same_rows(folder, tmp_path):
    source = make_source(folder, ["a", "b", "c"])
    for backend in ("hdf5", "webdataset"):
        run(source, tmp_path / backend, backend=backend, views=1)
    check_same_rows(content(tmp_path / "hdf5"), content(tmp_path / "webdataset"))


@pytest.mark.integration
def test_a_bad_video_is_named_and_the_others_are_extracted(folder, tmp_path):
    result, reader, _ = run(make_source(folder, ["a", "bad", "b"]), tmp_path / "c")
    assert (result.listed, result.committed, result.pending) == (3, 2, 0) and result.exit_code == 3
    assert list(result.quarantined) == ["bad.mp4"] and "cannot be read" in result.quarantined["bad.mp4"]
    assert set(reader.video_uids) == {"a", "b"}
    again, _, teacher = run(make_source(folder, ["a", "bad", "b"]), tmp_path / "c")
    assert again == result and teacher.images_seen == NUM_CHECKED_ROWS


@pytest.mark.integration
def test_a_quarantined_video_is_tried_again_when_its_file_changes(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "v")
    run(make_source(tmp_path / "v", ["a", "bad"]), tmp_path / "c")
    shutil.copy(folder / "b.mp4", tmp_path / "v" / "bad.mp4")
    result, reader, _ = run(make_source(tmp_path / "v", ["a", "bad"]), tmp_path / "c")
    assert result.quarantined == {} and result.committed == 2 and len(reader.timeline("bad").k)


def test_a_missing_frame_is_corrupt_and_the_others_keep_their_times():
    """Rows 2 and 3 of 6 are missing: the rows after them move up, and each time has its own frame or none."""
    index = np.array([0, 10, 20, 30, 40, 50], np.int64)
    k, row = np.arange(8, dtype=np.int64), np.array([0, 1, 2, 2, 3, 4, 5, -1], np.int64)
    segment = PlannedSegment("a", index, index * 512, k, row)
    video = planned_video("a")
    builder = ShardBuilder((Unit("000000", (segment,)),), {"a": video}, (2, 16))
    for i in (5, 0, 4, 1):
        builder.add("a", i, b"%d" % i, np.full((2, 16), i / 10, np.float16), CRC)
    assert builder.pop_complete() == [] and builder.count("a") == 4
    builder.end("a")
    ((name, batch),) = builder.pop_complete()
    assert name == "000000" and batch.jpegs == (b"0", b"1", b"4", b"5")
    np.testing.assert_allclose(batch.embeddings[:, 0, 0], [0, 0.1, 0.4, 0.5], atol=1e-3)
    (got,) = batch.segments
    assert got.frame_index.tolist() == [0, 10, 40, 50] and got.pts.tolist() == [0, 5120, 20480, 25600]
    assert got.request_row.tolist() == [0, 1, -1, -1, -1, 2, 3, -1]
    ok, corrupt, missing = Status.OK, Status.CORRUPT, Status.MISSING
    assert got.request_status.tolist() == [ok, ok, corrupt, corrupt, corrupt, ok, ok, missing]


@pytest.mark.integration
def test_a_damaged_frame_is_counted_and_the_video_is_kept(tmp_path):
    path = write_video(tmp_path / "d.mp4", 60, gop=10, b_frames=0)
    with av.open(str(path)) as container:
        position, size = next((p.pos, p.size) for p in container.demux(video=0) if p.pts == 30 * 512)
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    result, reader, _ = run(make_source(tmp_path, ["d"]), tmp_path / "c", fps=30.0)
    assert result.exit_code == 0 and 1 <= result.statuses["corrupt"] <= 11
    timeline = reader.timeline("d")
    assert 30 not in timeline.k and len(timeline.k) == 60 - result.statuses["corrupt"]
    for k, unit, row in zip(timeline.k, timeline.unit, timeline.row, strict=True):
        if k < 30 or k >= 40:
            assert read_number(np.asarray(canonical_frame.decode_jpeg(reader.frames(unit).jpeg(int(row))))) == k


class StoppingTeacher(FakeTeacher):
    """Works for a while and then interrupts the run."""

    def embed(self, crops):
        if self.images_seen >= 12:
            raise KeyboardInterrupt
        return super().embed(crops)


@pytest.mark.numeric
@second_backend_slow
@pytest.mark.integration
def test_an_interrupted_run_continues_and_equals_an_uninterrupted_one(folder, tmp_path, backend):
    source = make_source(folder, ["a", "b", "c", "v1"])
    run(source, tmp_path / "whole", backend=backend)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "cut", teacher=StoppingTeacher(), backend=backend, decode_workers=1)
    first = set(open_reader(tmp_path / "cut").records)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "frames").iterdir()}
    assert 0 < len(first) < len(open_reader(tmp_path / "whole").records)
    result, _, teacher = run(source, tmp_path / "cut", backend=backend)
    assert result.pending == 0 and teacher.images_seen < len(content(tmp_path / "whole"))
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())  # committed shards are not rewritten
    check_same_rows(content(tmp_path / "cut"), content(tmp_path / "whole"))


@pytest.mark.integration
def test_units_of_a_long_video_are_committed_and_forgotten_before_it_ends(folder, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(make_source(folder, ["c"]), tmp_path / "c", teacher=StoppingTeacher(), fps=30.0)
    reader = open_reader(tmp_path / "c")
    assert len(reader.records) == 2 and reader.num_rows == 10  # 12 of 120 rows came, for units of 5
    segment = planned_segment("a", 100)
    units = cut_units([segment], 10, 0)
    builder = ShardBuilder(units, {"a": planned_video("a")}, (1, 4))
    held = []
    for i in range(100):
        if i % 10 != 9:  # the last row of each unit is missing, which the first row of the next unit shows
            builder.add("a", i, b"x", np.ones((1, 4), np.float16), CRC[:1])
        builder.pop_complete()
        held.append(sum(jpeg is not None for segment in builder._by_video["a"] for jpeg in segment.jpegs))
    assert max(held) <= 10 and builder.count("a") == 90


def test_a_video_that_fails_late_keeps_its_complete_units():
    units = cut_units([planned_segment("a", 4), planned_segment("b", 2)], 2, 0)
    builder = ShardBuilder(units, {uid: planned_video(uid) for uid in "ab"}, (1, 4))
    for i in range(3):
        builder.add("a", i, b"x", np.ones((1, 4), np.float16), CRC[:1])
    builder.drop("a")
    taken = {name: [s.video_uid for s in batch.segments] for name, batch in builder.pop_complete()}
    assert taken == {"000000": ["a"], "000001": []}  # the unit of b still waits


@pytest.mark.integration
def test_added_videos_extend_the_cache_and_change_nothing_in_it(folder, tmp_path):
    run(make_source(folder, ["a", "c"]), tmp_path / "c")
    before = content(tmp_path / "c")
    kept = {p: p.read_bytes() for p in (tmp_path / "c").glob("*/0*") if p.is_file()}
    result, _, _ = run(make_source(folder, ["a", "b", "c"]), tmp_path / "c")
    assert result.committed == 3
    assert all(path.read_bytes() == data for path, data in kept.items())
    after = content(tmp_path / "c")
    assert {key: after[key] for key in before} == before and len(after) > len(before)


@pytest.mark.integration
def test_only_annotated_windows_are_extracted_and_shared(folder, tmp_path):
    source = make_source(folder, ["c"], windows=[(0.5, 1.6), (1.0, 2.1), (3.5, 6.0)])
    result, reader, _ = run(source, tmp_path / "c")
    record_statuses = np.concatenate([s.request_status for r in reader.records.values() for s in r.segments])
    timeline = reader.timeline("c")
    assert timeline.k.tolist() == [2, 3, 4, 5, 6, 11]  # t_k = k/3; the video ends at 4 s
    assert (record_statuses == Status.MISSING).sum() == 6 == result.statuses["missing"]


@pytest.mark.integration
def test_another_teacher_is_refused_and_nothing_changes(folder, tmp_path):
    source = make_source(folder, ["a"])
    run(source, tmp_path / "c")
    before = {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()}
    with pytest.raises(IdentityMismatchError, match="weights_sha256"):
        run(make_source(folder, ["a", "b"]), tmp_path / "c", teacher=FakeTeacher(weights_sha256="f" * 64))
    with pytest.raises(IdentityMismatchError, match=r"fps: 3.0 -> 1.0"):
        run(source, tmp_path / "c", fps=1.0)
    assert {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()} == before


@pytest.mark.integration
def test_a_lost_record_segment_is_not_counted_as_committed(folder, tmp_path):
    """The summary is counted from what is on disk, not by subtraction."""
    source = make_source(folder, ["a", "b"])
    run(source, tmp_path / "c")
    for path in (tmp_path / "c" / "records").iterdir():
        document = documents.read(stored(path))
        document["segments"] = [s for s in document["segments"] if s["video_uid"] != "a"]
        document["num_rows"] = sum(len(s["pts"]) for s in document["segments"])
        commit.replace(path, documents.serialize_with_checksum(document))
    with pytest.raises(DamagedError, match="its segments of a are missing"):
        run(source, tmp_path / "c")
    for path in (tmp_path / "c" / "records").iterdir():  # records without a plan contradict nothing
        document = documents.read(stored(path))
        del document["planned"]
        commit.replace(path, documents.serialize_with_checksum(document))
    with pytest.raises(PipelineError, match="2 videos were listed, but 1 are committed"):
        run(source, tmp_path / "c")


def test_a_folder_without_a_usable_video_is_refused_and_no_cache_is_created(folder, tmp_path):
    with pytest.raises(InputError, match=r"none of the 1 videos .*bad.mp4: it cannot be read"):
        run(make_source(folder, ["bad"]), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_target_is_checked_before_the_teacher_is_loaded(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")

    def load():
        raise AssertionError("the teacher was loaded")

    config = ExtractConfig(folder, False, tmp_path / "file" / "cache")
    with pytest.raises(StorageError):
        extract(config, make_source(folder, ["a"]), load)


def test_an_embedding_that_is_not_finite_is_never_committed(folder, tmp_path):
    class Broken(FakeTeacher):
        def embed(self, crops):
            return np.full((len(crops), self.identity.embed_dim), np.nan, np.float32)

    with pytest.raises(
        PipelineError, match=r"embedding of frame 0 of a is NaN or infinite, as is that of a plain gray"
    ):
        run(make_source(folder, ["a"]), tmp_path / "c", teacher=Broken())
    assert open_reader(tmp_path / "c").num_rows == 0


@pytest.mark.numeric
@second_backend_slow
@pytest.mark.integration
def test_zero_shot_logits_are_scaled_cosines_of_the_stored_embeddings(folder, tmp_path, backend):
    source = make_source(folder, ["a", "v1"], windows=[(0.0, 1.0), (1.0, 2.0)])
    config = ExtractConfig(folder, False, tmp_path / "c", backend=backend, views=1, shard_frames=5)
    writer, teacher, _ = extract(config, source, FakeTeacher)
    write_zero_shot(writer, source, teacher)
    reader = writer.reader()
    stored = reader.label_set()
    assert stored.clips == tuple(ClipIndex(source).over(writer.planned_videos.values())) and stored.logit_scale == 100.0
    assert [c.split for c in stored.clips] == ["train", "train", "val", "val"]
    text, scale = teacher.class_text([list(texts) for texts in stored.prompts])
    for unit, record in reader.records.items():
        for view in range(2):
            embeddings = reader.frames(unit).embeddings(0, record.num_rows, view).astype(np.float32)
            logits = reader.logits("zero-shot", unit).logits(0, record.num_rows, view)
            np.testing.assert_allclose(logits, scale * embeddings @ text.T, rtol=1e-5, atol=1e-4)
        assert reader.logits("zero-shot", unit).keys() == reader.frames(unit).keys()
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "c" / "labels").rglob("*")}
    write_zero_shot(writer, source, teacher)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "c" / "labels").rglob("*")} == written


@pytest.mark.integration
def test_a_video_without_annotations_is_divided_into_equal_windows(folder, tmp_path):
    source = make_source(folder, ["a"])
    writer, _, _ = extract(ExtractConfig(folder, False, tmp_path / "c"), source, FakeTeacher)
    (video,) = writer.planned_videos.values()
    long = {"a": dataclasses.replace(video, end_sec=25.0)}
    clips = ClipIndex(source).over(long.values())
    bounds = [(clip.start_sec, clip.end_sec) for clip in clips]
    np.testing.assert_allclose(bounds, [(0, 25 / 3), (25 / 3, 50 / 3), (50 / 3, 25)])
    assert len({clip.clip_id for clip in clips}) == 3


@pytest.mark.integration
def test_extraction_with_a_fake_teacher_never_loads_torch(folder, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    from tests.extraction.test_runner import make_source, run\n"
        "    run(make_source(Path(sys.argv[1]), ['a']), Path(sys.argv[2]))\n"
        "    sys.exit('torch' in sys.modules)"
    )
    (tmp_path / "script.py").write_text(code)
    python_path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": python_path, "PATH": ""}
    subprocess.run([sys.executable, tmp_path / "script.py", folder, tmp_path / "c"], check=True, env=environment)


@second_backend_slow
@pytest.mark.slow
def test_every_real_video_is_accounted_for(real_videos, tmp_path, backend):
    names = sorted(p.name for p in real_videos.iterdir() if p.suffix != ".tsv")
    videos = tuple(Video(f"v{i}", real_videos / name, name) for i, name in enumerate(names))
    clips = tuple(Clip(v.uid, v.uid, -math.inf, math.inf, -1, "train") for v in videos)
    source = Source(real_videos, "folder", videos, clips, ())
    result, _, _ = run(source, tmp_path / "c", backend=backend, fps=2.0, shard_frames=64)
    assert result.listed == 33 == result.committed + len(result.quarantined) and result.pending == 0
    assert sorted(result.quarantined) == [
        "mp4ff__mp4_init_truncated.mp4",
        "mp4ff__mp4_opus.mp4",
        "mp4parse-rust__bipbop_cbcs_video_init.mp4",
        "mp4parse-rust__opus_audioinit.mp4",
        "mp4parse-rust__short-cenc.mp4",
    ]
    assert result.statuses == {"ok": 207, "corrupt": 0, "redacted": 0, "missing": 0, "reshaped": 0}
