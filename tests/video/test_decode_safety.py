"""Files that are not videos, or malicious ones, are refused with a reason, and no other file is opened."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.extraction import scan_tasks
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.sources.ego4d_miniature.frames import numbered_frame
from embedonce.pipeline.video import container, packet_collector, scanning
from embedonce.pipeline.video.container import DECODERS, VideoError, check_decoder, open_video
from tests.support.videos import sample, timeline_of, write_video


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot be read"), (b"hello, I am no video" * 100, "cannot be read"), (bytes(5000), "cannot be read")],
)
def test_files_that_are_not_videos_are_refused_with_a_reason(tmp_path, content, reason):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        timeline_of(tmp_path / "v.mp4")


def test_audio_and_a_cover_picture_are_not_a_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    for name in ("sound.mp4", "sound.wav"):
        with pytest.raises(VideoError, match=r"no video stream|cannot be read"):
            timeline_of(tmp_path / name)


def test_encrypted_and_headless_real_videos_are_refused(real_videos):
    reasons = {
        "mp4parse-rust__short-cenc.mp4": "its frames are encrypted: decrypt it before use",
        "mp4parse-rust__bipbop_cbcs_video_init.mp4": "only the header of a fragmented file, of an encrypted video",
        "mp4parse-rust__opus_audioinit.mp4": "it has no video stream, only audio",
        "mp4ff__mp4_init_truncated.mp4": r"it has no video stream: its index \(moov\) is truncated",
    }
    for name, reason in reasons.items():
        with pytest.raises(VideoError, match=reason):
            timeline_of(real_videos / name)


def test_a_playlist_named_mp4_opens_no_other_file(tmp_path):
    write_video(tmp_path / "secret.mp4", 5)
    lists = {
        "concat": f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.mp4").write_text(text)
        with pytest.raises(VideoError):
            timeline_of(tmp_path / f"{name}.mp4")


def test_only_files_are_opened(tmp_path):
    """The protocol whitelist: the name of a file may look like the address of something else."""
    path = write_video(tmp_path / "v.mp4", 2)
    for address in (f"concat:{path}", f"subfile,,start,0,end,100,,:{path}", "data:text/plain;base64,AAAA", "async:x"):
        with pytest.raises(VideoError), open_video(Path(address), "software"):
            pass


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(VideoError):
        timeline_of(tmp_path / "nowhere.mp4")
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(VideoError):
        timeline_of(tmp_path / "dir.mp4")


def test_frames_that_are_too_large_are_refused_from_the_header_and_by_the_decoder(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 5)
    monkeypatch.setattr(container, "MAX_PIXELS", 64 * 160 - 1)
    with pytest.raises(VideoError, match="a frame of 160x64 is larger than 10239 pixels"):
        timeline_of(path)
    monkeypatch.setattr(container, "check_size", lambda width, height: None)  # a header that lies
    with pytest.raises(VideoError, match="none of its frames can be decoded"):
        timeline_of(path)


def test_too_many_frames_and_too_long_a_time_are_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 20)
    monkeypatch.setattr(packet_collector, "MAX_FRAMES", 19)
    with pytest.raises(VideoError, match="it has more than 19 frames"):
        timeline_of(path)
    monkeypatch.undo()
    monkeypatch.setattr(scanning, "MAX_SECONDS", 0.5)
    with pytest.raises(VideoError, match="its timestamps span 0 hours, more than 0"):
        timeline_of(path)


def test_a_video_that_takes_too_much_computing_is_given_up(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 20)
    monkeypatch.setattr(container, "HEARTBEAT_SEC", 0.0)
    monkeypatch.setattr(scan_tasks, "SCAN_LIMIT_SEC", 0.0)
    with pytest.raises(VideoError, match="decoding took more than 0 s of CPU time"):
        list(scan_video(ScanTask("v", path, Grid(1.0, EVERYTHING), "software")))


def test_a_stream_that_changes_its_size_is_still_exact(tmp_path):
    path = tmp_path / "v.ts"
    parts = [write_video(tmp_path / f"{n}.ts", 30, size=size) for n, size in enumerate([(64, 160), (96, 240)])]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert {rgb.shape for rgb in sample(path, 5.0).rgb.values()} == {(64, 160, 3), (96, 240, 3)}


def test_every_decoder_has_a_name_in_the_identity_and_software_is_always_there():
    assert len(set(DECODERS.values())) == len(DECODERS)
    check_decoder("software")


def test_a_picture_in_a_video_container_is_one_frame(tmp_path):
    path = tmp_path / "still.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 160, 64, "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(5), format="rgb24")))
        out.mux(stream.encode(None))
    assert len(sample(path, 3.0).requests.pts) == 1
