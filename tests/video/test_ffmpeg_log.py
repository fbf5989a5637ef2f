"""FFmpeg's messages: which of them mean damaged frames, and the reasons given for files that are not videos."""

import av
import av.logging
import numpy as np
import pytest

from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.ffmpeg_log import is_damage, is_data_loss, position_in_message
from tests.support.videos import sample, timeline_of, write_video

ERROR, WARNING, INFO = av.logging.ERROR, av.logging.WARNING, av.logging.INFO
BESIDE = (
    "SEI type 195 size 888 truncated at 47",
    "VPS VUI not supported",
    "Strange VUI timing information, retrying...",
    "Overread VPS by 7 bits",
    "Skipping invalid undecodable NALU: 39",
    "non-existing SPS 3 referenced in buffering period",
    "Error processing the picture timing SEI",
    "Error parsing DOVI NAL unit.",
    "RPU CRC mismatch: 1234",
    "Malformed ITU-T T.35 metadata message format",
    "Unknown Metadata OBU type 31",
    "EOI missing, emulating",
    "unable to decode APP fields: Invalid data found when processing input",
    "Mismatching sequence number and coded number of ICC markers",
    "Invalid and inefficient vfw-avi packed B-frames detected",
    "Ignoring NAL type 15 in extradata",
    "Unknown SAR index: 200.",
    "time_scale/num_units_in_tick invalid or unsupported (0/0)",
)
OF_PICTURES = (
    "error while decoding MB 13 9, bytestream 4446",
    "Reference 4 >= 4",
    "Could not find ref with POC 12",
    "ac-tex damaged at 3 4",
    "overread 8",
    "Skipping invalid undecodable NALU: 1",
    "Skipping invalid undecodable NALU: 34",
    "Missing reference picture, default is 65556",
    "Invalid NAL unit size (0 > 345).",
    "Discarding interframe without a prior keyframe!",
    "a message that nobody has seen yet",
)


@pytest.mark.parametrize("level", [ERROR, WARNING])
def test_only_messages_about_pictures_mark_frames_as_corrupt(level):
    assert not [text for text in BESIDE if is_damage(level, text)]
    assert not [text for text in OF_PICTURES if not is_damage(level, text)]


def test_a_demuxer_reports_where_it_skipped_data():
    lost = {
        "0x00 at pos 124995 (0x1e843) invalid as first byte of an EBML number": 124995,
        "Element at 0x3c744 ending at 0x404b7 exceeds containing master element ending at 0x3cad6": 0x3C744,
        "Packet mismatch 797645505 1524 122232": 122232,
        "CRC mismatch!": None,
    }
    assert all(is_data_loss(ERROR, text) and position_in_message(text) == at for text, at in lost.items())
    for text in ("File ended prematurely at pos. 1 (0x1)", "stream 0, offset 0x30: partial file", "no index"):
        assert not is_data_loss(ERROR, text)
    assert not is_data_loss(WARNING, "PES packet size mismatch")


def jpegs(tmp_path, change):
    """Motion JPEG whose packet number 5 is altered."""
    path = write_video(tmp_path / "v.avi", 12, codec="mjpeg", pix_fmt="yuvj420p", b_frames=None)
    target = tmp_path / "w.mkv"
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            new = av.Packet(change(bytes(packet)) if number == 5 else bytes(packet))
            new.pts = new.dts = packet.pts
            new.time_base, new.stream, new.is_keyframe = packet.time_base, stream, True
            out.mux(new)
    return sample(target, 30.0)


def test_a_jpeg_without_its_end_marker_is_whole_and_a_truncated_one_is_not(tmp_path):
    sampled = jpegs(tmp_path, lambda data: data[:-2])
    assert [read_number(rgb) for rgb in sampled.rgb.values()] == list(range(12))
    sampled = jpegs(tmp_path, lambda data: data[: len(data) * 2 // 3])
    assert sorted(sampled.rgb) == [n for n in range(12) if n != 5]


def test_a_truncated_message_beside_the_slices_leaves_hevc_complete(tmp_path):
    """An SEI that says it is longer than it is, before every picture."""
    options = {"x265-params": "log-level=none"}
    path = write_video(tmp_path / "v.mp4", 30, codec="libx265", options=options, mux={"movflags": "faststart"})
    target = tmp_path / "w.mp4"
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                sei = b"\x4e\x01\x05\xff\xff\x10abc\x80"
                new = av.Packet(len(sei).to_bytes(4, "big") + sei + bytes(packet))
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.stream, new.is_keyframe = stream, packet.is_keyframe
                out.mux(new)
    sampled = sample(target, 30.0)
    assert [read_number(rgb) for rgb in sampled.rgb.values()] == list(range(30))


# -- files that are no videos ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it cannot be read (the file is empty)"),
        (bytes(9000), "it cannot be read (the file begins with zeros"),
        (b"hello, I am no video\n" * 100, "it cannot be read (it is a text file)"),
        (b"\n<!DOCTYPE html><html>404</html>" * 50, "it cannot be read (it is a web page)"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "it cannot be read (it is a playlist)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it cannot be read (it is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "it cannot be read (it is a PNG picture)"),
        (b"PK\3\4" + bytes(range(256)) * 9, "it cannot be read (it is a ZIP archive)"),
    ],
)
def test_files_that_are_not_videos_are_reported_by_kind(tmp_path, content, reason):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(VideoError) as caught:
        timeline_of(tmp_path / "v.mp4")
    assert str(caught.value).startswith(reason)


def reason_of(path) -> str:
    with pytest.raises(VideoError) as caught:
        timeline_of(path)
    return str(caught.value)


def test_an_mp4_that_lost_its_index_and_parts_of_fragmented_ones(tmp_path):
    data = write_video(tmp_path / "v.mp4", 30).read_bytes()
    assert data.find(b"moov") > data.find(b"mdat")
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    assert "it has no index (moov): its end is missing" in reason_of(tmp_path / "cut.mp4")
    fragmented = write_video(tmp_path / "f.mp4", 60, mux={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    data = fragmented.read_bytes()
    start = data.find(b"moof") - 4
    (tmp_path / "init.mp4").write_bytes(data[:start])
    assert reason_of(tmp_path / "init.mp4") == ("it holds no video frame: it is only the header of a fragmented file")
    (tmp_path / "segment.mp4").write_bytes(data[start:])
    assert "segment of a fragmented file without its header (moov)" in reason_of(tmp_path / "segment.mp4")


def test_audio_alone_is_reported(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert reason_of(path) == "it has no video stream, only audio"


def test_a_scrambled_transport_stream_is_reported_as_encrypted(tmp_path):
    generator = np.random.default_rng(3)
    data = bytearray(write_video(tmp_path / "v.ts", 30).read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 31 == 1 and data[at + 2] == 0 and data[at + 3] & 16:  # the video's packets, 256
            start = at + 4 + (1 + data[at + 4] if data[at + 3] & 32 else 0)
            data[at + 3] |= 0xC0
            data[start : at + 188] = generator.bytes(at + 188 - start)
    (tmp_path / "w.ts").write_bytes(data)
    assert reason_of(tmp_path / "w.ts") == "its frames are encrypted: decrypt it before use"
