"""Checks before a run starts, and what it keeps of earlier runs."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.errors import IdentityMismatchError, StorageError
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.local import LocalStore
from embedonce.pipeline.extraction import preflight, teacher_loading
from embedonce.pipeline.extraction.dry_run import format_dry_run
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.teacher_check import NUM_CHECKED_ROWS, choose_rows, cosines
from embedonce.pipeline.teachers.teacher import CallTime
from tests.conftest import second_backend_slow
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("ab"):
        write_video(tmp_path / f"{name}.mp4", 60 + 30 * number)
    return tmp_path


class OtherTeacher(FakeTeacher):
    """Has the same identity, and computes slightly different embeddings."""

    def embed(self, crops):
        vectors = super().embed(crops) + np.float32(0.02) * np.linspace(
            -1, 1, self.identity.embed_dim, dtype=np.float32
        )
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.numeric
@second_backend_slow
@pytest.mark.integration
def test_a_teacher_that_computes_something_else_is_refused_and_nothing_changes(folder, backend):
    source = make_source(folder, ["a", "b"])
    run(make_source(folder, ["a"]), folder / "c", backend=backend, views=1)
    before = {p: p.read_bytes() for p in (folder / "c").rglob("*") if p.is_file()}
    with pytest.raises(IdentityMismatchError, match=r"cosine 0\.9\d+ for one of 6 stored frames, at least 0.999"):
        run(source, folder / "c", teacher=OtherTeacher(), backend=backend, views=1)
    assert {p: p.read_bytes() for p in (folder / "c").rglob("*") if p.is_file()} == before
    run(source, folder / "c", backend=backend, views=1)


@pytest.mark.numeric
@second_backend_slow
@pytest.mark.integration
def test_checked_rows_are_spread_over_the_whole_cache(folder, backend):
    _, reader, teacher = run(make_source(folder, ["a", "b"]), folder / "c", backend=backend, views=1, shard_frames=4)
    rows = choose_rows(reader, NUM_CHECKED_ROWS, seed=0)
    assert len(set(rows)) == NUM_CHECKED_ROWS and len({unit for unit, _ in rows}) >= 3
    everything = choose_rows(reader, 10**6, seed=0)
    assert everything == [(u, r) for u, record in sorted(reader.records.items()) for r in range(record.num_rows)]
    np.testing.assert_allclose(cosines(reader, teacher, everything), 1, atol=1e-3)
    assert choose_rows(reader, NUM_CHECKED_ROWS, seed=1) != rows


@pytest.mark.integration
def test_a_stale_manifest_is_rebuilt_with_a_notice(folder, caplog):
    caplog.set_level("INFO")
    source = make_source(folder, ["a"])
    run(source, folder / "c")
    good = (folder / "c" / "manifest.json").read_bytes()
    for spoilt in (None, b"{}", good.replace(b'"num_rows":6', b'"num_rows":7')):
        (folder / "c" / "manifest.json").unlink()
        if spoilt is not None:
            (folder / "c" / "manifest.json").write_bytes(spoilt)
        caplog.clear()
        run(source, folder / "c")
        assert "manifest.json did not match the records: it was rebuilt from them" in caplog.messages
        assert (folder / "c" / "manifest.json").read_bytes() == good
    caplog.clear()
    run(source, folder / "c")
    assert not any("rebuilt" in message for message in caplog.messages)


class Poisoned(FakeTeacher):
    """Returns NaN for frames of uniform brightness: those of video b from its third frame on."""

    def __init__(self, bad_rows):
        super().__init__()
        self.bad_rows = bad_rows

    def embed(self, crops):
        vectors, first = super().embed(crops), self.images_seen - len(crops)
        for i in self.bad_rows:
            if first <= i < first + len(crops):
                vectors[i - first] = np.inf
        return vectors


@second_backend_slow
@pytest.mark.integration
def test_an_embedding_that_is_not_finite_quarantines_only_its_video(folder, backend):
    source = make_source(folder, ["a", "b"])
    result, reader, _ = run(source, folder / "c", teacher=Poisoned([2]), backend=backend, decode_workers=1)
    assert result.exit_code == 3 and (result.committed, result.pending) == (1, 0)
    ((name, reason),) = result.quarantined.items()
    uid = name.removesuffix(".mp4")
    assert reason == f"the teacher's embedding of frame 20 of {uid} is NaN or infinite"
    assert set(reader.video_uids) == {"a", "b"} - {uid}


@pytest.mark.integration
def test_the_summary_is_logged_when_a_run_is_interrupted(folder, caplog):
    class Stopping(FakeTeacher):
        def embed(self, crops):
            if self.images_seen:
                raise KeyboardInterrupt
            return super().embed(crops)

    with pytest.raises(KeyboardInterrupt):
        run(make_source(folder, ["a", "b"]), folder / "c", teacher=Stopping())
    assert re.fullmatch(r"listed 2 videos = [01] committed \+ 0 quarantined \+ [12] pending", caplog.messages[-1])


@pytest.mark.integration
def test_attempts_of_completed_videos_are_forgotten(folder):
    """The run was killed after the video's last row crashed a process, and before the attempt was removed."""
    source = make_source(folder, ["a"])
    run(source, folder / "c")
    writer = open_writer(folder / "c", open_reader(folder / "c").identity)
    writer.count_attempt("a", "it ended the process")
    writer.quarantine("gone", QuarantinedVideo("gone.mp4", "bad", 1, 2))
    writer.count_attempt("gone", "it ended the process")
    writer.release("gone")
    assert set(writer.attempts()) == {"a"} and writer.attempts()["a"].attempts == 1
    writer.close()
    run(source, folder / "c")
    assert not list((folder / "c" / "attempts").iterdir())


# -- before a model is loaded --------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_reported_before_the_teacher_is_loaded(folder, monkeypatch):
    monkeypatch.setattr(LocalStore, "free_bytes", lambda store: 5000)
    config = ExtractConfig(folder, False, folder / "c")
    with pytest.raises(StorageError, match=r"needs about 240.0 kB more and its disk has 5.0 kB free; make space"):
        extract(config, make_source(folder, ["a"]), lambda: pytest.fail("the teacher was loaded"))
    assert not (folder / "c").exists()


@second_backend_slow
@pytest.mark.integration
def test_the_estimate_is_close_to_the_actual_size(folder, backend):
    source = make_source(folder, ["a", "b"])
    config = ExtractConfig(folder, False, folder / "c", backend=backend, fps=10.0, canonical_short_side=256, views=1)
    survey = preflight.run_preflight(config, source, calibrated=True)
    assert survey.estimate.frames == 20 + 30 and survey.estimate.decode_sec > 0
    _, reader, _ = run(source, folder / "c", backend=backend, fps=10.0, canonical_short_side=256, views=1)
    on_disk = sum(p.stat().st_size for name in ("frames", "records") for p in (folder / "c" / name).iterdir())
    assert 0.7 < survey.estimate.num_bytes / on_disk < 1.5 and reader.num_rows == 50


@pytest.mark.integration
def test_a_dry_run_prints_the_plan_and_writes_nothing(folder):
    (folder / "bad.mp4").write_bytes(b"no video")
    source = make_source(folder, ["a", "b", "bad"], windows=[(0.0, 1.0)])
    config = ExtractConfig(folder, False, folder / "c", fps=10.0, decode_workers=2, views=3)
    told = format_dry_run(config, {"": source}, lambda config: CallTime(0.5, 0.5)).splitlines()
    assert told[1] == "videos: 3 listed = 2 new + 0 known + 1 that cannot be used"
    assert told[2].startswith("  cannot use bad.mp4: it cannot be read")
    assert told[3] == "frames: 20 to extract, from 0.00 hours of new video"
    assert told[4].startswith("space: about ") and "kB per frame" in told[4] and "GB free" in told[4]
    assert (
        told[5].startswith("time: about 40 s (decoding") and "2 processes, teacher 40 s" in told[5]
    )  # 20 × (1 + 3) × ½
    assert not (folder / "c").exists()
    run(make_source(folder, ["a"], windows=[(0.0, 1.0)]), folder / "c", fps=10.0, views=3)
    before = {p: p.read_bytes() for p in (folder / "c").rglob("*") if p.is_file()}
    told = format_dry_run(config, {"": source}, lambda config: CallTime(0.5, 0.5)).splitlines()
    assert told[1:4:2] == [
        "videos: 3 listed = 1 new + 1 known + 1 that cannot be used",
        "frames: 10 to extract, from 0.00 hours of new video",
    ]
    assert {p: p.read_bytes() for p in (folder / "c").rglob("*") if p.is_file()} == before


@pytest.mark.integration
def test_a_dry_run_from_the_command_line_loads_no_weights(folder, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: pytest.fail("weights were loaded"))
    arguments = ["extract-teacher", "--data-dir", str(folder), "--cache-dir", str(folder / "c"), "--dry-run"]
    ran = CliRunner().invoke(cli.main, [*arguments, "--teacher-model", "demo-clip"])
    assert ran.exit_code == 0, ran.output
    assert (
        "frames: 10 to extract" in ran.stdout
        and ran.stdout.splitlines()[-1] == "next: the same command without --dry-run"
    )
    ran = CliRunner().invoke(cli.main, ["extract-teacher", "--use-synthetic", "--dry-run"])
    assert ran.exit_code == 2 and "--dry-run cannot be used with --use-synthetic" in ran.output


@pytest.mark.integration
def test_verifying_with_the_teacher_embeds_rows_again(folder):
    teacher = ["--teacher-model", "demo-clip", "--teacher-weights", "random", "--device", "cpu"]
    cache = ["--cache-dir", str(folder / "c")]
    ran = CliRunner().invoke(cli.main, ["extract-teacher", "--data-dir", str(folder), *cache, *teacher])
    assert ran.exit_code == 0, ran.output
    ran = CliRunner().invoke(cli.main, ["verify-cache", *cache, "--recompute", "5", "--device", "cpu"])
    assert (ran.exit_code == 0 and "embedded 5 rows again: cosine 0.99" in ran.output) or "cosine 1.0" in ran.output
    ran = CliRunner().invoke(cli.main, ["verify-cache", *cache, "--recompute", "5", "--seed", "1", "--device", "cpu"])
    assert ran.exit_code == 4 and "teacher.weights_sha256" in ran.output  # other random weights are another teacher
