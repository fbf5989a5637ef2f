"""Data missing from a file: nothing that depends on it is reported as intact, and held frames stay ok."""

import bisect
import random
from fractions import Fraction

import numpy as np
import pytest

from embedonce.cache.schema import LOST
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.sampling_times import request_frames
from embedonce.pipeline.video.headers.fragments import missing_before
from embedonce.pipeline.video.headers.matroska import cut_out, read_layout
from embedonce.pipeline.video.headers.transport_stream import read_counters
from embedonce.pipeline.video.missing_data import LossFinder, Pauses, read_container_evidence
from tests.support.videos import full_decode, sample, timeline_of, write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

CLOSED = {"gop": 20, "options": {"x264-params": "scenecut=0"}}
HEVC = {"codec": "libx265", "gop": 20, "options": {"x265-params": "log-level=none:scenecut=0"}}
VP9 = {"codec": "libvpx-vp9", "b_frames": None, "options": {"deadline": "realtime", "cpu-used": "8"}}
SHORT_CLUSTERS = {"mux": {"cluster_time_limit": "900"}}
FRAGMENTS = {"mux": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}
RATE = 30


def packets_out(data: bytes, size: int = 188) -> tuple[int, int]:
    """A third of the packets of a transport stream, from its middle."""
    count = len(data) // size
    return count * 2 // 5 * size, count * 7 // 10 * size


def bytes_out(data: bytes) -> tuple[int, int]:
    start, stop = packets_out(data)
    return start + 77, stop + 20


def one_packet_out(data: bytes) -> tuple[int, int]:
    start, _ = packets_out(data)
    return start, start + 188


def pieces_out(mark: bytes, before: int = 0):
    """Whole clusters or fragments: the third and the fourth."""

    def span(data: bytes) -> tuple[int, int]:
        at = [i for i in range(len(data)) if data.startswith(mark, i)]
        return at[2] - before, at[4] - before

    return span


CUTS = {
    "H.264 in a transport stream": ("v.ts", CLOSED, packets_out),
    "one packet of a transport stream": ("v.ts", CLOSED, one_packet_out),
    "bytes of a transport stream": ("v.ts", CLOSED, bytes_out),
    "transport stream with lengths": ("v.ts", CLOSED | {"mux": {"omit_video_pes_length": "0"}}, packets_out),
    "Blu-ray's packets": ("v.ts", CLOSED | {"mux": {"mpegts_m2ts_mode": "1"}}, lambda data: packets_out(data, 192)),
    "open GOP in a transport stream": ("v.ts", {"gop": 20, "options": {"x264-params": "open-gop=1"}}, packets_out),
    "intra refresh": ("v.ts", {"b_frames": 0, "options": {"x264-params": "intra-refresh=1:keyint=20"}}, packets_out),
    "HEVC in a transport stream": ("v.ts", HEVC, packets_out),
    "MPEG-2": ("v.ts", {"codec": "mpeg2video", "gop": 20, "ticks": 30}, packets_out),
    "clusters at key frames": ("v.mkv", CLOSED, pieces_out(b"\x1f\x43\xb6\x75")),
    "clusters within a group": ("v.mkv", {"gop": 200} | SHORT_CLUSTERS, pieces_out(b"\x1f\x43\xb6\x75")),
    "clusters of VP9": ("v.webm", VP9 | {"gop": 200} | SHORT_CLUSTERS, pieces_out(b"\x1f\x43\xb6\x75")),
    "bytes of Matroska": ("v.mkv", CLOSED, bytes_out),
    "bytes of VP9": ("v.webm", VP9 | {"gop": 20}, bytes_out),
    "fragments": ("v.mp4", CLOSED | FRAGMENTS, pieces_out(b"moof", 4)),
    "bytes of FLV": ("v.flv", CLOSED | {"ticks": 1000}, bytes_out),
}


def answers(path, truth: list[tuple[int, str]]) -> list[tuple[int, bool | None]]:
    """For each request in turn: (which frame of the whole file belongs there, whether it came; None if not ok)."""
    sampled, pts = sample(path, float(RATE)), [at for at, _ in truth]
    first, tick_sec = float(sampled.timeline.pts[0]), float(Fraction(*sampled.timeline.time_base))
    found = []
    for k, row in zip(sampled.requests.k.tolist(), sampled.requests.row.tolist(), strict=True):
        index = bisect.bisect_right(pts, first + (k / RATE + 0.002) / tick_sec) - 1
        is_ok = row >= 0 and row in sampled.digests
        found.append((index, sampled.digests[row] == truth[index][1] if is_ok else None))
    return found


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.integration
def test_lost_frames_and_their_dependents_are_not_ok(tmp_path, name):
    file, settings, span = CUTS[name]
    path = write_video(tmp_path / file, 150, **settings)
    truth, data = full_decode(path), path.read_bytes()
    start, stop = span(data)
    cut = tmp_path / f"cut{path.suffix}"
    cut.write_bytes(data[:start] + data[stop:])
    found, timeline = answers(cut, truth), timeline_of(cut)
    there = set(timeline.pts.tolist())
    lost = [index for index, (at, _) in enumerate(truth) if at not in there]
    assert lost or "one packet" in name
    wrong = [index for index, is_right in found if is_right is False]
    assert not wrong, f"frames {wrong} are called good and are others"
    assert not [index for index, is_right in found if index in lost and is_right is not None]
    assert [is_right for index, is_right in found if index < min(lost, default=30) - 22] != []
    assert all(is_right for index, is_right in found if index < min(lost, default=30) - 22)
    if settings.get("gop") == 20:
        assert all(is_right for index, is_right in found if index >= max(lost, default=80) + 22)
    assert any(note.startswith("data is missing in") for note in timeline.notes)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.integration
def test_holes_at_random_places_of_a_transport_stream(tmp_path, seed):
    generator = random.Random(seed)
    path = write_video(tmp_path / "v.ts", 150, **CLOSED)
    truth, data = full_decode(path), path.read_bytes()
    start = generator.randrange(len(data) // 4, len(data) * 3 // 4) // 188 * 188
    (tmp_path / "cut.ts").write_bytes(data[:start] + data[start + 188 * generator.randrange(1, 200) :])
    assert False not in [is_right for _, is_right in answers(tmp_path / "cut.ts", truth)]


# -- nothing is lost ---------------------------------------------------------------------------------------------------

PAUSES = np.cumsum([20 * (n % 7 == 0) + 30 * (n % 31 == 0) + 1 for n in range(90)])  # in frames: up to 50 at once
HELD = {
    "MP4": ("v.mp4", {}),
    "Matroska": ("v.mkv", {}),
    "Matroska, short clusters": ("v.mkv", SHORT_CLUSTERS),
    "WebM": ("v.webm", VP9),
    "transport stream": ("v.ts", {}),
    "HEVC in a transport stream": ("v.ts", HEVC),
    "fragments": ("v.mp4", FRAGMENTS),
    "FLV": ("v.flv", {"ticks": 1000}),
    "MPEG-2": ("v.ts", {"codec": "mpeg2video", "ticks": 30}),
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.integration
def test_frames_that_are_held_are_ok(tmp_path, name):
    file, settings = HELD[name]
    ticks = settings.get("ticks", 15360)
    rate = {"pts": [int(at) * ticks // 30 for at in PAUSES]}
    path = write_video(tmp_path / file, 90, **({"gop": 20} | settings | rate))
    sampled = sample(path, 10.0)
    assert len(sampled.digests) == len(sampled.requests.pts) and (sampled.requests.row >= 0).all()
    assert not len(sampled.timeline.holes) and not any("lost" in note for note in sampled.timeline.notes)


def test_streams_that_are_joined_lose_nothing(tmp_path):
    """Counters begin anew at the joint, where decoding does, too, and no time is missing."""
    parts = [
        write_video(tmp_path / f"{n}.ts", 60, gop=20, b_frames=0, pts=[512 * i + n * 60 * 512 for i in range(60)])
        for n in range(2)
    ]
    (tmp_path / "v.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    sampled = sample(tmp_path / "v.ts", 30.0)
    assert len(sampled.digests) == len(sampled.timeline.pts) == 120 and not len(sampled.timeline.holes)


def test_times_in_holes_are_lost_and_redacted_ones_stay_so():
    pts, holes = np.array([0, 10, 20, 100, 110]), np.array([[30, 100]])
    grid = Grid(0.1, EVERYTHING, ((40.0, 55.0),))
    got = request_frames(grid, pts, pts[:0], (1, 1), 120.0, holes)
    assert got.row.tolist() == [0, 1, 2, LOST, -2, -2, LOST, LOST, LOST, LOST, 3, 4]
    assert got.frame_index.tolist() == [0, 1, 2, 3, 4]


# -- the readers of containers -----------------------------------------------------------------------------------------


def test_counters_of_a_whole_stream_have_no_gap_and_a_lost_packet_is_found(tmp_path):
    path = write_video(tmp_path / "v.ts", 60, **CLOSED)
    data = path.read_bytes()
    whole = read_counters(path, 256)
    assert not len(whole.gaps) and not len(whole.breaks) and not len(whole.others) and whole.scrambled == 0
    mine = [at for at in range(0, len(data), 188) if data[at + 1] & 31 == 1 and data[at + 2] == 0 and data[at + 3] & 16]
    for at in mine[40], mine[80]:
        (tmp_path / "cut.ts").write_bytes(data[:at] + data[at + 188 :])
        following = mine[mine.index(at) + 1] - 188
        assert read_counters(tmp_path / "cut.ts", 256).gaps.tolist() == [following]
    marked = bytearray(data)
    marked[mine[50] + 1] |= 0x80
    (tmp_path / "marked.ts").write_bytes(marked)
    assert read_counters(tmp_path / "marked.ts", 256).gaps.tolist() == [mine[50]]


def test_a_whole_matroska_file_has_the_frames_that_its_index_names(tmp_path):
    path = write_video(tmp_path / "v.mkv", 150, **CLOSED)
    layout, times = read_layout(path), set(timeline_of(path).pts.tolist())
    assert len(layout.cues) >= 7 and len(layout.clusters) >= 7 and layout.index_shift == 0
    assert cut_out(layout, 0, times) == []


def test_fragments_are_missing_only_where_their_numbers_say(tmp_path):
    path = write_video(tmp_path / "v.mp4", 150, **(CLOSED | FRAGMENTS))
    assert missing_before(path) == []
    data = path.read_bytes()
    start, stop = pieces_out(b"moof", 4)(data)
    (tmp_path / "cut.mp4").write_bytes(data[:start] + data[stop:])
    assert missing_before(tmp_path / "cut.mp4") == [start]


@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
@pytest.mark.integration
def test_readers_take_any_bytes(tmp_path, kind):
    generator, settings = random.Random(5), CLOSED | (FRAGMENTS if kind == "mp4" else {})
    data = bytearray(write_video(tmp_path / f"v.{kind}", 30, **settings).read_bytes())
    for _ in range(60):
        damaged = bytearray(data[: generator.randrange(len(data))])
        for _ in range(generator.randrange(1, 20)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        (tmp_path / "d").write_bytes(damaged)
        read_counters(tmp_path / "d", 256), cut_out(read_layout(tmp_path / "d"), 0, {0}), missing_before(tmp_path / "d")


def test_pauses_can_be_looked_at_after_the_file_was_closed(tmp_path):
    """A stream's memory is gone with its container: what is needed of it is read before."""

    class Stream:
        closed = False

        @property
        def index(self) -> int:
            assert not self.closed
            return 0

    path, stream = write_video(tmp_path / "v.mkv", 30, **CLOSED), Stream()
    finder = LossFinder.of(np.array([0, 10, 20]), np.array([True, False, False]))
    look = read_container_evidence(finder, "matroska,webm", path, stream)
    stream.closed = True
    look(Pauses(np.array([0, 500, 1000]), np.array([0, 500]), np.array([1, 2])))
