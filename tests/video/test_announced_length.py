"""Frame rates, lengths and tracks that headers announce, against what a video really contains."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition

from tests.support.spliced_videos import quarters
from tests.support.videos import sample, timeline_of, write_video

NO_RATE = "it has no frame rate: 25 frames per second are assumed"
PARTIAL = "partial: it ends"

# -- tracks ------------------------------------------------------------------------------------------------------------


def write_tracks(path: Path, *tracks: dict) -> Path:
    """A file of several video tracks. Of each: size, frames (20 by default), codec, disposition."""
    with av.open(str(path), "w") as out:
        streams = []
        for track in tracks:
            stream = out.add_stream(track.get("codec", "libx264"), rate=10)
            stream.height, stream.width = track["size"]
            stream.pix_fmt = "yuvj420p" if track.get("codec") == "mjpeg" else "yuv420p"
            stream.disposition = track.get("disposition", Disposition(0))
            streams.append(stream)
        for track, stream in zip(tracks, streams, strict=True):
            for number in range(track.get("frames", 20)):
                frame = av.VideoFrame.from_ndarray(quarters(track["size"]), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def disable(path: Path, track: int) -> None:
    """Take the flag "enabled" from a track of an MP4."""
    data, at = bytearray(path.read_bytes()), -1
    for _ in range(track + 1):
        at = data.index(b"tkhd", at + 1)
    data[at + 7] &= ~1
    path.write_bytes(data)


SMALL, LARGE = {"size": (96, 160)}, {"size": (192, 320)}
COVER = {"size": (384, 640), "codec": "mjpeg", "frames": 1}
DEFAULT = {"disposition": Disposition.default}


@pytest.mark.parametrize(
    ("name", "tracks", "used"),
    [
        ("the larger one", ("v.mp4", SMALL | DEFAULT, LARGE | DEFAULT), 1),
        ("the larger one, Matroska", ("v.mkv", SMALL, LARGE), 1),
        ("the larger one, TS", ("v.ts", SMALL, LARGE), 1),
        ("the default one, Matroska", ("v.mkv", LARGE, SMALL | DEFAULT), 1),
        ("the first of equal ones", ("v.mp4", LARGE | DEFAULT, LARGE | DEFAULT), 0),
        ("no attached cover", ("v.mp4", COVER | {"disposition": Disposition.attached_pic}, SMALL), 1),
        ("no cover that is a track", ("v.mp4", COVER | DEFAULT, SMALL | DEFAULT), 1),
        ("no cover that is a track, Matroska", ("v.mkv", COVER | DEFAULT, SMALL), 1),
        ("no cover even if default", ("v.mp4", COVER | DEFAULT, SMALL), 1),
    ],
)
@pytest.mark.integration
def test_the_track_that_is_the_video_is_used_and_reported(tmp_path, name, tracks, used):
    path = write_tracks(tmp_path / tracks[0], *tracks[1:])
    sampled = sample(path, 2.0)
    height, width = tracks[1 + used]["size"]
    assert sampled.timeline.size == (height, width) and len(sampled.timeline.pts) == 20
    with av.open(str(path)) as container:
        index = {(s.codec_context.height, s.codec_context.width): s.index for s in container.streams.video}
    if len(index) == 2:
        used = index[height, width]
    (note,) = sampled.timeline.notes
    assert note.startswith(f"video stream {used} of 2 video streams is used (h264, {width}x{height}"), note


def test_a_track_that_is_not_enabled_is_not_used(tmp_path):
    path = write_tracks(tmp_path / "v.mp4", LARGE | DEFAULT, SMALL | DEFAULT)
    disable(path, 0)
    timeline = timeline_of(path)
    assert timeline.size == (96, 160)
    assert timeline.notes == (
        "video stream 1 of 2 video streams is used (h264, 160x96, default), not 0 (h264, 320x192)",
    )


# -- rates of raw streams ----------------------------------------------------------------------------------------------

RAW = {
    "H.264": ("libx264", "h264", "v.h264", {}),
    "H.264 called .264": ("libx264", "h264", "v.264", {}),
    "H.264, B-frames": ("libx264", "h264", "v.h264", {"bf": "3"}),
    "HEVC": ("libx265", "hevc", "v.hevc", {"x265-params": "log-level=none"}),
    "HEVC called .265": ("libx265", "hevc", "v.265", {"x265-params": "log-level=none"}),
    "MPEG-4": ("mpeg4", "m4v", "v.m4v", {}),
    "MPEG-2": ("mpeg2video", "mpeg2video", "v.m2v", {}),
    "AV1, IVF": ("libsvtav1", "ivf", "v.ivf", {"preset": "12"}),
    "VP9, IVF": ("libvpx-vp9", "ivf", "v.ivf", {"deadline": "realtime"}),
    "Y4M": ("wrapped_avframe", "yuv4mpegpipe", "v.y4m", {}),
}


def write_raw(path: Path, codec: str, form: str, rate: Fraction, options: dict, bsf: str | None = None) -> Path:
    """One second of a stream without a container."""
    with av.open(str(path), "w", format=form) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        stream.options, stream.codec_context.thread_count = options, 1
        filtered = BitStreamFilterContext(bsf, stream) if bsf else None
        for number in [*range(round(rate)), None]:
            frame = None
            if number is not None:
                image = np.full((96, 160, 3), number % 200, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, 1 / rate
            for packet in stream.encode(frame):
                out.mux(filtered.filter(packet) if filtered else packet)
    return path


NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("name", "rate"), [*((name, Fraction(60)) for name in RAW), ("H.264", NTSC), ("HEVC", NTSC), ("MPEG-4", NTSC)]
)
@pytest.mark.integration
def test_raw_streams_have_the_rate_in_their_headers(tmp_path, name, rate):
    codec, form, file, options = RAW[name]
    timeline = timeline_of(write_raw(tmp_path / file, codec, form, rate, options))
    numerator, denominator = timeline.time_base
    t_sec = timeline.pts * numerator / denominator
    assert len(t_sec) == round(rate)
    np.testing.assert_allclose(np.diff(t_sec), float(1 / rate), atol=2e-6)
    assert timeline.end_sec - t_sec[0] == pytest.approx(len(t_sec) / float(rate), abs=1e-5)
    assert NO_RATE not in timeline.notes


@pytest.mark.parametrize(
    ("codec", "form", "options"),
    [
        ("libx265", "hevc", {"x265-params": "log-level=none:vui-timing-info=0"}),
        ("libsvtav1", "obu", {"preset": "12"}),
    ],
)
def test_a_raw_stream_without_a_rate_reports_that_one_is_assumed(tmp_path, codec, form, options):
    timeline = timeline_of(write_raw(tmp_path / f"v.{form}", codec, form, Fraction(60), options))
    assert timeline.end_sec == pytest.approx(60 / 25) and NO_RATE in timeline.notes


def test_a_clock_rate_is_not_a_frame_rate(tmp_path):
    """Streams of variable rate carry the ticks of their clock in the place of the rate."""
    bsf = "h264_metadata=tick_rate=180000:fixed_frame_rate_flag=0"
    timeline = timeline_of(write_raw(tmp_path / "v.h264", "libx264", "h264", Fraction(60), {}, bsf))
    assert timeline.end_sec == pytest.approx(60 / 25) and NO_RATE in timeline.notes


# -- lengths of cut files ----------------------------------------------------------------------------------------------


def write_with_sound(path: Path, codec: str, sound: str, sound_sec: float, mux: dict | None = None) -> Path:
    """Four seconds of video beside so many of sound."""
    with av.open(str(path), "w", options=mux or {}) as out:
        video, audio = out.add_stream(codec, rate=10), out.add_stream(sound, rate=48000)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        video.codec_context.gop_size, audio.layout = 5, "mono"
        video.codec_context.thread_count = 1
        video.options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {}
        step, noise = 960, np.random.default_rng(0)
        for number in range(max(40, round(sound_sec * 50))):
            if number < 40:
                image = noise.integers(0, 255, (96, 160, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                out.mux(video.encode(frame))
            for part in range(number * 5, number * 5 + 5) if number < 40 else ():
                _mux_sound(out, audio, part, step, sound_sec)
        for part in range(200, round(sound_sec * 50)):
            _mux_sound(out, audio, part, step, sound_sec)
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def _mux_sound(out, audio, part: int, step: int, sound_sec: float) -> None:
    if part * step >= sound_sec * 48000:
        return
    kind = {"pcm_s16le": "s16", "libopus": "s16"}.get(audio.codec_context.name, "fltp")
    values = np.zeros((1, step), np.int16 if kind == "s16" else np.float32)
    frame = av.AudioFrame.from_ndarray(values, format=kind, layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, part * step, Fraction(1, 48000)
    out.mux(audio.encode(frame))


BITEXACT = {"fflags": "+bitexact"}  # Matroska without the tags that say how long each track is
CONTAINERS = {
    "Matroska": ("v.mkv", "libx264", "aac", {}),
    "Matroska without tags": ("v.mkv", "libx264", "aac", BITEXACT),
    "WebM": ("v.webm", "libvpx", "libopus", {}),
    "FLV": ("v.flv", "libx264", "aac", {}),
    "AVI": ("v.avi", "mpeg4", "pcm_s16le", {}),
    "ASF": ("v.asf", "wmv2", "pcm_s16le", {}),
    "MP4": ("v.mp4", "libx264", "aac", {"movflags": "faststart"}),
}


@pytest.mark.parametrize("sound_sec", [4.0, 6.0])
@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.integration
def test_a_truncated_file_is_partial_and_a_whole_one_with_longer_sound_is_not(tmp_path, name, sound_sec):
    file, codec, sound, mux = CONTAINERS[name]
    path = write_with_sound(tmp_path / file, codec, sound, sound_sec, mux)
    assert not [note for note in timeline_of(path).notes if PARTIAL in note]
    data = path.read_bytes()
    cut = tmp_path / f"cut{path.suffix}"
    cut.write_bytes(data[: int(len(data) * 0.6)])
    timeline = timeline_of(cut)
    assert 10 < len(timeline.pts) < 40
    assert [note for note in timeline.notes if note.startswith(PARTIAL)]


@pytest.mark.integration
def test_matroska_without_a_duration_announces_none(tmp_path):
    path = write_with_sound(tmp_path / "v.mkv", "libx264", "aac", 4.0, {"live": "1"})
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: int(len(data) * 0.6)])
    assert not timeline_of(path).notes and not timeline_of(tmp_path / "cut.mkv").notes


# -- whole files have whole numbers of times ---------------------------------------------------------------------------

WHOLE = {
    "AVI": {"file": "v.avi", "codec": "mjpeg", "pix_fmt": "yuvj420p", "b_frames": None},
    "IVF": {"file": "v.ivf", "codec": "libvpx", "b_frames": None},
    "MP4": {"file": "v.mp4"},
    "Matroska": {"file": "v.mkv"},
    "TS": {"file": "v.ts"},
    "FLV": {"file": "v.flv"},
    "MXF": {"file": "v.mxf", "codec": "mpeg2video", "b_frames": 0, "pix_fmt": "yuv422p"},
}


@pytest.mark.parametrize(("name", "rate"), [*((name, 25) for name in WHOLE), ("MP4", 24), ("AVI", 30)])
@pytest.mark.integration
def test_three_seconds_are_six_times_and_none_shows_the_future(tmp_path, name, rate):
    settings = dict(WHOLE[name])
    path = write_video(tmp_path / settings.pop("file"), 3 * rate, rate=rate, ticks=rate, **settings)
    sampled = sample(path, 2.0)
    requests, (numerator, denominator) = sampled.requests, sampled.timeline.time_base
    first_sec = int(sampled.timeline.pts[0]) * numerator / denominator
    assert requests.k.tolist() == [0, 1, 2, 3, 4, 5] and (requests.row >= 0).all()
    shown_sec = requests.pts[requests.row] * numerator / denominator - first_sec
    assert (shown_sec <= requests.k / 2 + 0.001).all() and (shown_sec > requests.k / 2 - 1.5 / rate).all()
