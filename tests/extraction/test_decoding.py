"""Sampling and decoding in a whole extraction: statuses, key frames, windows, decode modes."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.store import claim
from embedonce.pipeline.errors import DecoderError
from embedonce.pipeline.extraction.runner import make_identity
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.settings import choices
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.video.container import DECODERS, check_decoder
from tests.extraction.test_runner import make_source, run
from tests.support.videos import write_video
from tests.video.test_decode import spoil_packet

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def folder(tmp_path):
    write_video(tmp_path / "a.mp4", 90, gop=15, options={"x264-params": "scenecut=0"})
    return tmp_path


def stored_numbers(reader, uid: str) -> list[int]:
    timeline = reader.timeline(uid)
    frames = (reader.frames(unit).jpeg(int(row)) for unit, row in zip(timeline.unit, timeline.row, strict=True))
    return [read_number(np.asarray(canonical_frame.decode_jpeg(jpeg))) for jpeg in frames]


def ways(reader) -> dict[str, str]:
    found = {}
    for record in reader.records.values():
        found |= record.provenance["decoding"]
    return found


@pytest.mark.integration
def test_key_frames_are_sampled_at_their_own_times(folder, backend):
    source = make_source(folder, ["a"], [(0.2, 1.2), (1.4, 1.5)])
    result, reader, _ = run(source, folder / "c", backend=backend, sampling="keyframe")
    assert result.statuses == {"ok": 2, "corrupt": 0, "redacted": 0, "missing": 0, "reshaped": 0}
    assert stored_numbers(reader, "a") == [15, 30]
    np.testing.assert_allclose(reader.timeline("a").t_sec, [0.5, 1.0])
    assert (reader.identity.sampling, reader.identity.fps) == ("keyframe", None)
    window = reader.timeline("a").window(0.9, 1.2)
    assert reader.timeline("a").k[window].tolist() == [30 * 512]
    with pytest.raises(IdentityMismatchError, match="sampling: keyframe -> fps"):
        run(source, folder / "c", backend=backend)


@pytest.mark.integration
def test_redacted_parts_are_accounted_for_and_never_embedded(folder, backend):
    source = make_source(folder, ["a"])
    hidden = dataclasses.replace(source.videos[0], redacted=((1.0, 2.0),))
    result, reader, teacher = run(
        dataclasses.replace(source, videos=(hidden,)), folder / "c", backend=backend, fps=2.0, shard_frames=2
    )
    assert result.statuses == {"ok": 4, "corrupt": 0, "redacted": 2, "missing": 0, "reshaped": 0}
    assert stored_numbers(reader, "a") == [0, 15, 60, 75] and teacher.images_seen == 4


@pytest.mark.integration
def test_the_union_of_overlapping_windows_is_decoded_once(folder):
    source = make_source(folder, ["a"], [(0.0, 1.0), (0.5, 1.5), (0.6, 0.9), (2.0, 2.3)])
    result, reader, teacher = run(source, folder / "c", fps=10.0)
    assert result.rows == teacher.images_seen == 15 + 3
    assert stored_numbers(reader, "a") == [3 * k for k in (*range(15), *range(20, 23))]


@pytest.mark.integration
def test_the_decode_mode_is_recorded_with_each_shard(folder):
    write_video(folder / "b.mp4", 60, codec="mpeg4")
    write_video(folder / "d.mp4", 60, gop=30, b_frames=0)
    spoil_packet(folder / "d.mp4", 40)
    result, reader, _ = run(make_source(folder, ["a", "b", "d"]), folder / "c", fps=5.0)
    assert ways(reader) == {
        "a": "skipping",
        "b": "skipping",
        "d": "whole (the lengths of its NAL units do not match its packets)",
    }
    assert result.statuses["corrupt"] == 3  # 42, 48 and 54, up to the end of that group


@pytest.mark.integration
def test_partial_videos_are_counted(folder):
    write_video(folder / "whole.mp4", 120, gop=12, mux={"movflags": "faststart"})
    data = (folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    result, _, _ = run(make_source(folder, ["a", "cut", "whole"]), folder / "c")
    assert result.partial == 1


def test_an_unavailable_decoder_is_reported_before_any_work(folder):
    try:
        check_decoder("nvdec")
    except DecoderError as error:
        sentence = str(error)
    else:
        pytest.skip("this machine has the decoder")
    assert sentence.startswith("--decoder nvdec cannot be used on this machine (")
    arguments = ["extract-teacher", "--data-dir", str(folder), "--cache-dir", str(folder / "c"), "--decoder", "nvdec"]
    ran = CliRunner().invoke(cli.main, arguments)
    assert ran.exit_code == 5 and ran.stderr.splitlines()[-1] == f"Error: {sentence}"
    assert not (folder / "c").exists()


@pytest.mark.integration
def test_the_decoder_is_part_of_the_identity(folder):
    _, _, teacher = run(make_source(folder, ["a"]), folder / "c")
    other = make_identity(ExtractConfig(folder, False, folder / "c", decoder="nvdec", fps=3.0), teacher)
    with pytest.raises(IdentityMismatchError, match="decoder: pyav-software-2 -> pyav-nvdec-1"):
        claim(folder / "c", other)
    assert tuple(DECODERS) == choices.DECODERS  # the choices of the option and the decoders


def test_clips_without_a_key_frame_have_no_frames(folder, caplog):
    caplog.set_level("INFO")
    source = make_source(folder, ["a"], [(0.6, 0.9)])
    result, reader, _ = run(source, folder / "c", sampling="keyframe")
    assert (result.rows, result.without_requests, reader.video_uids) == (0, 1, ())
    assert "a.mp4: none of its clips contains a key frame" in caplog.messages
    run(make_source(folder, ["a"], [(0.6, 0.61)]), folder / "other", sampling="fps")  # between two times
    assert "a.mp4: none of its clips contains a requested time" in caplog.messages


@pytest.mark.integration
def test_times_of_lost_frames_are_corrupt_and_not_stored(folder, backend):
    path = write_video(folder / "whole.ts", 90, gop=15, options={"x264-params": "scenecut=0"})
    data = path.read_bytes()
    start, stop = (len(data) * share // 100 // 188 * 188 for share in (40, 65))
    (folder / "a.ts").write_bytes(data[:start] + data[stop:])
    (folder / "a.mp4").unlink()
    (folder / "a.ts").rename(folder / "a.mp4")  # the content decides, not the suffix
    result, reader, _ = run(make_source(folder, ["a"]), folder / "c", backend=backend, fps=30.0)
    assert result.statuses["ok"] + result.statuses["corrupt"] == 90 and result.statuses["missing"] == 0
    assert 20 < result.statuses["corrupt"] < 60 and not result.quarantined
    stored = stored_numbers(reader, "a")
    assert stored == [round(float(t) * 30) for t in reader.timeline("a").frame_sec - reader.timeline("a").frame_sec[0]]
    assert stored[0] == 0 and stored[-1] == 89 and np.diff(stored).max() > 20


@pytest.mark.integration
def test_the_reason_contains_the_decoder_message(folder):
    write_video(folder / "b.mp4", 30, gop=30, b_frames=0, options={"x264-params": "scenecut=0"})
    for number in range(1, 30):
        spoil_packet(folder / "b.mp4", number)
    result, _, _ = run(make_source(folder, ["a", "b"], [(0.5, 0.9)]), folder / "c", fps=10.0)
    (reason,) = result.quarantined.values()
    assert reason.startswith("none of its 4 requested frames can be decoded (decoder message: ")
