"""Videos indexed by their header: everything that comes of it is the same as if all packets were read."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.video import header_index
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.skipping import PackedPlan, plan_feed
from tests.support.index_comparison import FRAMES, INTRA_FILES, PNG, differences, scanned_both_ways, write_intra
from tests.support.mp4_files import TABLES, box, boxes, content_of, edited, table
from tests.support.videos import digest, full_decode, timeline_of, write_video

STRETCHED = [512 * (n + n // 7) for n in range(FRAMES)]


@pytest.fixture
def video(tmp_path) -> Path:
    """Its data comes first, so that its header can be changed without moving any packet."""
    path = write_intra(tmp_path / "v.mov")
    assert [kind for kind, _ in boxes(path.read_bytes())] == [b"ftyp", b"wide", b"mdat", b"moov"]
    return path


def rewrite(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def change(path: Path, *kinds: bytes, edit) -> Path:
    """Change the contents of these boxes."""
    return rewrite(path, edited(path.read_bytes(), *kinds, edit=edit))


def add(path: Path, *kinds: bytes, new: bytes) -> Path:
    """Add a box to these."""
    return change(path, *kinds, edit=lambda content: content + new)


@pytest.mark.parametrize("codec", INTRA_FILES)
def test_a_header_tells_what_the_packets_would(tmp_path, codec):
    file, settings = INTRA_FILES[codec]
    timeline, is_by_header = scanned_both_ways(write_intra(tmp_path / file, **settings))
    assert is_by_header and len(timeline.pts) == len(timeline.key_pts) == FRAMES


def test_decoding_by_such_a_plan_gives_the_frames_of_a_full_decode(tmp_path, monkeypatch):
    path = write_intra(tmp_path / "v.mov", pts=STRETCHED)
    monkeypatch.setattr(header_index, "MIN_SAVING", 0.0)
    timeline, decoded = timeline_of(path), full_decode(path)
    chosen = np.array([3, 17, 39])
    plan = PackedPlan.of(plan_feed(timeline.index, timeline.pts[chosen]))
    frames = RequestedFrames(path, chosen, timeline.pts[chosen], False, plan=plan)
    found = [(i, frame.pts, digest(frame)) for i, frame in filter(None, frames)]
    assert found == [(i, *decoded[n]) for i, n in enumerate(chosen)]
    assert frames.way == "skipping" and frames.num_fed == 3


def long_positions(data: bytes) -> bytes:
    """The same file with positions of 64 bits, and such a size of its box of data."""
    moved = 8  # the longer size comes before the data
    ftyp, wide, mdat, moov = boxes(data)

    def edit(content: bytes) -> bytes:
        positions = struct.unpack(f">{len(content) // 4 - 2}I", content[8:])
        long = table(len(positions)) + struct.pack(f">{len(positions)}Q", *(p + moved for p in positions))
        return long

    moov = edited(box(*moov), *TABLES, b"stco", edit=edit).replace(b"stco", b"co64")
    return box(*ftyp) + box(*wide) + box(*mdat, is_long=True) + moov


def edits(*entries: tuple[int, int]) -> bytes:
    """An edit list of (duration in units of the file, time in the media or -1 for none)."""
    rows = b"".join(struct.pack(">IiI", duration, start, 1 << 16) for duration, start in entries)
    return box(b"edts", box(b"elst", table(len(entries)) + rows))


def with_edits(path: Path, *entries: tuple[int, int]) -> Path:
    change(path, b"moov", b"trak", b"edts", edit=lambda _: None)
    return add(path, b"moov", b"trak", new=edits(*entries))


WELL_FORMED = {
    "varying frame rate": lambda path: write_intra(path, pts=STRETCHED),
    "late start": lambda path: write_intra(path, pts=[9000 + 512 * n for n in range(FRAMES)]),
    "header first": lambda path: write_intra(path, mux={"movflags": "faststart"}),
    "positions of 64 bits": lambda path: rewrite(path, long_positions(path.read_bytes())),
    "data up to the end": lambda path: rewrite(path, data_last(path.read_bytes())),
    "pause before the start": lambda path: with_edits(path, (500, -1), (1333, 0)),
    "start cut off": lambda path: with_edits(path, (1000, 512 * 7)),
    "end cut off": lambda path: with_edits(path, (700, 0)),
    "parts repeated": lambda path: with_edits(path, (700, 0), (700, 0)),
    "rotated": lambda path: write_intra(path, rotation=90),
    "aspect": lambda path: write_intra(path, aspect=2),
    "one frame": lambda path: write_video(path, 1, **PNG),
    "two frames": lambda path: write_video(path, 2, **PNG),
}


def data_last(data: bytes) -> bytes:
    """The same file whose data comes last and has no stated size."""
    ftyp, _, mdat, moov = boxes(data)
    moved = len(box(*moov)) - 8  # `wide` is left out

    def edit(content: bytes) -> bytes:
        count, *positions = struct.unpack(f">{len(content) // 4 - 1}I", content[4:])
        return table(count, *(p + moved for p in positions))

    return box(*ftyp) + edited(box(*moov), *TABLES, b"stco", edit=edit) + struct.pack(">I4s", 0, b"mdat") + mdat[1]


@pytest.mark.parametrize("kind", WELL_FORMED)
def test_unusual_but_whole_files_are_indexed_by_their_header(video, kind):
    timeline, is_by_header = scanned_both_ways(WELL_FORMED[kind](video))
    assert is_by_header and not timeline.is_partial and not len(timeline.holes)


def with_sound(path: Path, is_first: bool) -> Path:
    """The video with another track of sound before or after it."""
    target = path.with_name("sound.mov")
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        audio = out.add_stream("pcm_s16le", rate=8000) if is_first else None
        stream = out.add_stream_from_template(source.streams.video[0])
        audio = audio or out.add_stream("pcm_s16le", rate=8000)
        for n, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            sound = av.AudioFrame.from_ndarray(np.full((1, 266), n, np.int16), format="s16", layout="mono")
            sound.rate, sound.pts = 8000, 266 * n
            for coded in audio.encode(sound):
                out.mux(coded)
            packet.stream = stream
            out.mux(packet)
    return target


@pytest.mark.parametrize("is_first", [True, False])
def test_sound_may_be_between_the_frames(video, is_first):
    timeline, is_by_header = scanned_both_ways(with_sound(video, is_first=is_first))
    assert is_by_header and len(timeline.pts) == FRAMES


def display_times(path: Path, version: int, *offsets: int) -> Path:
    runs = [number for offset in offsets for number in (FRAMES // len(offsets), offset)]
    return add(path, *TABLES, new=box(b"ctts", table(len(offsets), *runs, version=version, kind="i")))


def cut(path: Path, fraction: float) -> Path:
    data = path.read_bytes()
    return rewrite(path, data[: int(len(data) * fraction)])


def sizes(*changed: tuple[int, int]):
    """Edit stsz: (number of the frame, its size)."""

    def edit(content: bytes) -> bytes:
        _, same, count, *each = struct.unpack(f">{len(content) // 4}I", content)
        each = each or [same] * count
        for n, size in changed:
            each[n] = size
        return table(0, count, *each)

    return edit


def shorter_data(data: bytes) -> bytes:
    """The last frames lie in another box than the others."""
    ftyp, wide, (_, content), moov = boxes(data)
    rest = len(content) // 2
    content = content[: -rest - 8] + struct.pack(">I4s", rest + 8, b"free") + content[-rest:]
    return box(*ftyp) + box(*wide) + box(b"mdat", content[: -rest - 8]) + content[-rest - 8 :] + box(*moov)


def fragments(path: Path) -> Path:
    """A file that goes on with fragments after its header."""
    write_intra(path.with_name("f.mov"), mux={"movflags": "frag_keyframe+empty_moov"})
    pieces = b"".join(box(*piece) for piece in boxes(path.with_name("f.mov").read_bytes()) if piece[0] != b"ftyp")
    return rewrite(path, path.read_bytes() + pieces)


def another_description(content: bytes) -> bytes:
    return table(2) + content[8:] * 2


UNUSUAL = {
    "display times apart": lambda path: display_times(path, 0, 0, 512),
    "negative display times": lambda path: display_times(path, 1, -512, 512),
    "no difference of display times": lambda path: display_times(path, 0, 0),
    "few key frames": lambda path: add(path, *TABLES, new=box(b"stss", table(2, 1, 20))),
    "equal times": lambda path: change(path, *TABLES, b"stts", edit=lambda _: table(2, 9, 512, FRAMES - 9, 0)),
    "two equal times": lambda path: change(
        path, *TABLES, b"stts", edit=lambda _: table(3, 3, 512, 1, 0, FRAMES - 4, 512)
    ),
    "a frame without content": lambda path: change(path, *TABLES, b"stsz", edit=sizes((20, 0))),
    "a frame beyond the end": lambda path: change(path, *TABLES, b"stsz", edit=sizes((FRAMES - 1, 1 << 30))),
    "the last frame cut short": lambda path: rewrite(path, shortened(path.read_bytes(), 5)),
    "most frames gone": lambda path: rewrite(path, shortened(path.read_bytes(), 1.0)),
    "end of the file gone": lambda path: cut(write_intra(path, mux={"movflags": "faststart"}), 0.6),
    "last byte gone": lambda path: cut(write_intra(path, mux={"movflags": "faststart"}), 0.99999),
    "header gone": lambda path: cut(path, 0.9),
    "something after the end": lambda path: rewrite(path, path.read_bytes() + b"\0\0\0\5junk"),
    "zeros after the end": lambda path: rewrite(path, path.read_bytes() + bytes(64)),
    "frames before the data": lambda path: change(path, *TABLES, b"stco", edit=lambda old: old[:-4] + bytes(4)),
    "frames outside the data": lambda path: rewrite(path, shorter_data(path.read_bytes())),
    "two boxes of data": lambda path: rewrite(path, path.read_bytes() + box(b"mdat", b"more")),
    "two headers": lambda path: rewrite(path, path.read_bytes() + box(*boxes(path.read_bytes())[-1])),
    "fragments": lambda path: write_intra(path, mux={"movflags": "frag_keyframe+empty_moov"}),
    "fragments after the header": fragments,
    "hidden fragments": lambda path: add(path, b"moov", new=box(b"udta", box(b"moof", b""))),
    "two descriptions": lambda path: change(path, *TABLES, b"stsd", edit=another_description),
    "encryption": lambda path: add(path, *TABLES, new=box(b"senc", table(0))),
    "other boxes": lambda path: rewrite(path, path.read_bytes() + box(b"uuid", bytes(16))),
}


def shortened(data: bytes, by: float) -> bytes:
    """The data lacks its last bytes (or that part of it), and its header does not know."""
    ftyp, wide, (_, content), moov = boxes(data)
    content = content[:-by] if isinstance(by, int) else content[: int(len(content) * (1 - by))]
    return box(*ftyp) + box(*wide) + box(b"mdat", content) + box(*moov)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_all_packets_are_read_where_a_header_is_not_all_there_is_to_know(video, kind):
    outcome, is_by_header = scanned_both_ways(UNUSUAL[kind](video))
    assert not is_by_header and outcome


def test_a_header_that_is_wrong_about_contents_changes_nothing(video):
    """The demuxer cuts frames, and spreads them over time, as the header says, whether they are read or not."""
    wrong = (
        (b"stsz", sizes((20, 7))),
        (b"stts", lambda _: table(1, 9, 512)),
        (b"stts", lambda _: table(3, 9, 512, 1, -4096, 30, 512, kind="i")),
    )
    for kind, edit in wrong:
        timeline, is_by_header = scanned_both_ways(change(video, *TABLES, kind, edit=edit))
        assert is_by_header and len(timeline.pts) == FRAMES


def test_the_sound_must_be_whole_too(video):
    """Where a packet of sound is cut off, FFmpeg stops reading, and frames behind it are lost."""
    path = with_sound(video, is_first=True)
    data = path.read_bytes()
    track = box(*boxes(content_of(data, b"moov"))[1])
    beyond = edited(track, b"trak", *TABLES[2:], b"stco", edit=lambda content: content[:8] + b"\x7f" + content[9:])
    assert beyond != track
    _, is_by_header = scanned_both_ways(rewrite(path, data.replace(track, beyond)))
    assert not is_by_header


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_codecs_whose_packets_tell_more_are_read_whole(tmp_path, codec):
    settings = {"codec": codec, "pix_fmt": "yuvj420p" if codec == "mjpeg" else "yuv420p", "b_frames": None}
    _, is_by_header = scanned_both_ways(write_intra(tmp_path / "v.mov", **settings))
    assert not is_by_header


def test_frames_left_out_of_h264_are_noticed_whatever_the_header_says(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 120, b_frames=0, gop=60)
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if not 70 <= n < 80:
                packet.stream = stream
                out.mux(packet)
    timeline, is_by_header = scanned_both_ways(tmp_path / "cut.mp4")
    assert not is_by_header and any("gaps in its frame numbers" in note for note in timeline.notes)


def test_little_is_read_of_large_files_and_all_of_small_ones(tmp_path):
    for num_frames, is_most in ((150, False), (30, True)):
        settings = {"codec": "rawvideo", "pix_fmt": "uyvy422", "b_frames": None, "size": (360, 640)}
        path = write_video(tmp_path / f"{num_frames}.mov", num_frames, **settings)
        before = num_read()
        assert len(timeline_of(path).pts) == num_frames
        assert (num_read() - before > path.stat().st_size / 2) == is_most


def num_read() -> int:
    """Bytes that this process has asked the system for."""
    text = Path("/proc/self/io")
    if not text.exists():
        pytest.skip("this system does not count what a process reads")
    return int(text.read_text().split()[1])


def test_damaged_frames_are_found_by_decoding(tmp_path, monkeypatch):
    path = write_intra(tmp_path / "v.mov", codec="prores_ks", pix_fmt="yuv422p10le")
    monkeypatch.setattr(header_index, "MIN_SAVING", 0.0)
    timeline = timeline_of(path)
    with path.open("r+b") as file:
        file.seek(int(positions_in(path)[20]))
        file.write(bytes(2000))
    damaged, is_by_header = scanned_both_ways(path)
    assert is_by_header and not differences(damaged, timeline)
    plan = PackedPlan.of(plan_feed(damaged.index, damaged.pts))
    frames = RequestedFrames(path, np.arange(FRAMES), damaged.pts, False, plan=plan)
    assert [i for i, _ in filter(None, frames)] == [n for n in range(FRAMES) if n != 20]


def test_a_beginning_that_cannot_be_decoded_is_passed_over(video):
    positions = positions_in(video)
    data = bytearray(video.read_bytes())
    data[positions[0] : positions[4]] = bytes(positions[4] - positions[0])
    timeline, _ = scanned_both_ways(rewrite(video, bytes(data)))
    assert len(timeline.pts) == FRAMES


def positions_in(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return header_index._entries(container.streams.video[0])[:, 1]


def test_changed_bytes_of_the_header_change_nothing_between_both_ways(video):
    """The header is hostile: every outcome is that of reading all packets."""
    data, rng, num_by_header = video.read_bytes(), np.random.default_rng(5), 0
    start = data.rindex(b"moov") - 4
    for _ in range(40):
        changed = bytearray(data)
        for at in rng.integers(start, len(data), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        _, is_by_header = scanned_both_ways(rewrite(video, bytes(changed)))
        num_by_header += is_by_header
    assert 4 < num_by_header < 36
