"""Display matrices, pixel aspect ratios and changes of geometry within a video."""

import dataclasses
import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.cache.schema import Status
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, Remark, Reshaped, decode_video
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.sources.source import Source, Video
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.geometry import MatrixReader
from embedonce.pipeline.video.orientation import INVALID, UPRIGHT, Orientation, orientation_of
from tests.extraction.test_runner import make_source, run
from tests.support.spliced_videos import BLUE, GREEN, ONE, RATE, RED, WHITE, patch_matrix, splice, write_part
from tests.support.two_descriptions import write_two_descriptions
from tests.support.videos import timeline_of, write_video
from tests.video.test_decode_color import close, corners

pytestmark = pytest.mark.usefixtures("forked_workers")

SHORT_SIDE = 64
MANIFEST_ROWS = ("matrix_hflip.mp4", "matrix_zero.mp4", "size_changes.ts")  # of the shared faulty files
TURNED = {  # display matrix -> orientation, and the colors above left, above right, below left, below right
    (ONE, 0, 0, ONE): ((0, False), (RED, GREEN, BLUE, WHITE)),
    (0, ONE, -ONE, 0): ((90, False), (BLUE, RED, WHITE, GREEN)),
    (-ONE, 0, 0, -ONE): ((180, False), (WHITE, BLUE, GREEN, RED)),
    (0, -ONE, ONE, 0): ((270, False), (GREEN, WHITE, RED, BLUE)),
    (-ONE, 0, 0, ONE): ((0, True), (GREEN, RED, WHITE, BLUE)),  # hflip
    (ONE, 0, 0, -ONE): ((180, True), (BLUE, WHITE, RED, GREEN)),  # vflip
    (0, ONE, ONE, 0): ((90, True), (RED, BLUE, GREEN, WHITE)),  # transpose
    (0, -ONE, -ONE, 0): ((270, True), (WHITE, GREEN, BLUE, RED)),  # transverse
}
INVALID_MATRICES = [
    (0, 0, 0, 0),
    (INVALID, 0, 0, ONE),
    (INVALID,) * 4,
    (ONE, ONE, ONE, ONE),
    (ONE, 0, 0, 0),
    (0, 0, 0, ONE),
    (ONE, -ONE, -ONE, ONE),
]


@dataclasses.dataclass
class Shown:
    """One letter for each requested frame: o, reshaped R, . for none; images of the rows; what was remarked."""

    letters: str
    images: dict[int, np.ndarray]
    remarks: list[str]
    notes: tuple[str, ...]


def shown(path: Path, fps: float = RATE, left_eye: bool = False) -> Shown:
    """What extraction makes of a video at this rate."""
    *_, scan = scan_video(ScanTask("v", path, Grid(fps), "software", left_eye))
    requests, shape = scan.requests, planned_shape(scan.timeline, SHORT_SIDE, left_eye)
    views = np.array([[0, 0, 8, 8, 0, 3]], np.int32)
    frames = (requests.frame_index, requests.pts, scan.timeline.by_order, shape, 95, views, 8)
    letters, images, remarks = ["."] * len(requests.pts), {}, []
    for message in decode_video(DecodeTask("v", path, "software", *frames, duration_sec=9.0)):
        if isinstance(message, Remark):
            remarks.append(message.text)
        elif isinstance(message, Reshaped):
            letters[message.i] = "R"
        elif isinstance(message, list):
            for row in message:
                letters[row.i], images[row.i] = "o", np.asarray(canonical_frame.decode_jpeg(row.jpeg))
    return Shown("".join(letters), images, remarks, scan.timeline.notes)


# -- display matrices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", TURNED)
def test_rotations_and_flips_are_applied_as_in_ffmpeg(tmp_path, matrix):
    (rotation, mirrored), expected = TURNED[matrix]
    path = patch_matrix(write_part(tmp_path / "v.mp4", (96, 160)), *matrix)
    timeline = timeline_of(path)
    assert (timeline.rotation, timeline.mirrored, timeline.notes) == (rotation, mirrored, ())
    found = shown(path, 2.0)
    assert found.letters == "oo" and not found.remarks
    for image in found.images.values():
        assert image.shape == ((106, 64, 3) if rotation in (90, 270) else (64, 106, 3))
        assert close(corners(image), expected, 12)


@pytest.mark.parametrize("matrix", INVALID_MATRICES)
def test_an_invalid_matrix_is_ignored_and_reported(tmp_path, matrix):
    path = patch_matrix(write_part(tmp_path / "v.mp4", (96, 160)), *matrix)
    found = shown(path, 2.0)
    numbers = "{} {} 0 {} {} 0 0 0 1073741824".format(*matrix)
    assert found.notes == (f"its display matrix ({numbers}) is invalid: frames are neither rotated nor mirrored",)
    assert found.letters == "oo" and close(corners(found.images[0]), (RED, GREEN, BLUE, WHITE), 12)


def test_a_matrix_may_scale_and_move_and_be_a_little_off():
    for (a, b, c, d), ((rotation, mirrored), _) in TURNED.items():
        for scaled in ((3 * a, 2 * b, 3 * c, 2 * d), (a + 900, b - 900, c + 900, d + 900)):
            matrix = (*scaled[:2], 0, *scaled[2:], 0, 320 * ONE, INVALID, 1 << 30)
            assert orientation_of(matrix) == (Orientation(rotation, mirrored), None), matrix
    between = (int(0.8 * ONE), int(0.6 * ONE), 0, int(-0.6 * ONE), int(0.8 * ONE), 0, 0, 0, 1 << 30)
    assert orientation_of(between) == (UPRIGHT, "its rotation of 37 degrees is rounded to 0")


def test_stereo_that_is_mirrored_is_refused(tmp_path):
    path = patch_matrix(write_part(tmp_path / "v.mp4", (96, 160)), -ONE, 0, 0, ONE)
    with pytest.raises(VideoError, match="it is stereo and rotated by 0 degrees and mirrored: which half"):
        shown(path, left_eye=True)


# -- changes in mid-stream ---------------------------------------------------------------------------------------------

WIDE, TALL = {"size": (90, 160)}, {"size": (160, 120)}
VP8, VP9, HEVC = {"codec": "libvpx"}, {"codec": "libvpx-vp9"}, {"codec": "libx265"}
QUIET = HEVC | {"options": {"x265-params": "log-level=none:pools=1:frame-threads=1"}}
JPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
OBLONG = {"aspect": Fraction(4, 3)}


def turned(degrees: int) -> dict:
    """A display orientation in the stream itself, with its key frame alone."""
    return {"bsf": f"h264_metadata=display_orientation=insert:rotate={degrees}"}


CHANGES = {  # container, parts, and what becomes of the second
    "size, TS": ("ts", [WIDE, TALL], "R", "from 160x90 to 120x160"),
    "size, MP4": ("mp4", [WIDE, TALL], "R", "from 160x90 to 120x160"),
    "size, Matroska": ("mkv", [WIDE, TALL], "R", "from 160x90 to 120x160"),
    "size, HEVC": ("ts", [WIDE | QUIET, TALL | QUIET], "R", "from 160x90 to 120x160"),
    "size, VP8": ("webm", [WIDE | VP8, TALL | VP8], "R", "from 160x90 to 120x160"),
    "size, VP9": ("webm", [WIDE | VP9, TALL | VP9], "R", "from 160x90 to 120x160"),
    "size, Motion JPEG": ("mkv", [WIDE | JPEG, TALL | JPEG], "R", "from 160x90 to 120x160"),
    "a pixel wider": ("ts", [{"size": (90, 160)}, {"size": (90, 164)}], "R", "from 160x90 to 164x90"),
    "resolution alone": ("ts", [WIDE, {"size": (180, 320)}], "o", "from 160x90 to 320x180"),
    "resolution alone, VP9": ("webm", [WIDE | VP9, {"size": (180, 320)} | VP9], "o", "from 160x90 to 320x180"),
    "pixel aspect": ("ts", [WIDE, WIDE | OBLONG], "R", "from 160x90 to 160x90, pixels 4:3"),
    "pixel aspect, MP4": ("mp4", [WIDE, WIDE | OBLONG], "R", "from 160x90 to 160x90, pixels 4:3"),
    "pixel aspect, HEVC": ("ts", [WIDE | QUIET, WIDE | QUIET | OBLONG], "R", "from 160x90 to 160x90, pixels 4:3"),
    "square pixels after oblong ones": ("ts", [WIDE | OBLONG, WIDE], "R", "from 160x90, pixels 4:3 to 160x90"),
    "size and aspect": ("ts", [{"size": (120, 160)}, {"size": (120, 120)} | OBLONG], "o", "120x120, pixels 4:3"),
    "a quarter turn": ("ts", [WIDE, WIDE | turned(90)], "R", "to 160x90, rotated by 270 degrees"),
    "a quarter turn ends": ("ts", [WIDE | turned(90), WIDE], "R", "rotated by 270 degrees to 160x90 "),
    "half a turn": ("ts", [WIDE, WIDE | turned(180)], "o", "to 160x90, rotated by 180 degrees"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.integration
def test_a_picture_that_changes_is_followed_or_refused_and_never_squashed(tmp_path, name):
    suffix, parts, letter, words = CHANGES[name]
    has_headers = parts[0].get("codec", "libx264") in ("libx264", "libx265")  # in a transport stream, in its packets
    source = "ts" if has_headers else suffix
    files = [write_part(tmp_path / f"{number}.{source}", **part) for number, part in enumerate(parts)]
    found = shown(splice(tmp_path / f"v.{suffix}", *files))
    assert found.letters == 10 * "o" + 10 * letter
    (remark,) = found.remarks
    assert remark.startswith("its frames change at 1.") and words in remark
    assert ("skipped as `reshaped`" in remark) == (letter == "R")
    first = TURNED[(0, -ONE, ONE, 0)][1] if name == "a quarter turn ends" else (RED, GREEN, BLUE, WHITE)
    second = (WHITE, BLUE, GREEN, RED) if name == "half a turn" else first
    assert all(close(corners(image), second if i >= 10 else first, 20) for i, image in found.images.items())


@pytest.mark.parametrize(
    ("first", "second", "shape"),
    [
        (WIDE, TALL, (64, 114, 3)),  # FFmpeg takes the pixel aspect from the size of the last description
        (TALL, WIDE, (86, 64, 3)),
        (WIDE, WIDE | OBLONG, (64, 114, 3)),
    ],
)
def test_two_sample_descriptions_in_one_track(tmp_path, first, second, shape):
    plain = {"options": {"bf": "0"}}
    files = [write_part(tmp_path / f"{n}.mp4", **part, **plain) for n, part in enumerate((first, second))]
    found = shown(write_two_descriptions(tmp_path / "v.mp4", *files))
    assert found.letters == 10 * "o" + 10 * "R" and "at 1.000 s" in found.remarks[0]
    assert all(image.shape == shape for image in found.images.values())


def test_an_orientation_in_the_stream_holds_until_the_next_key_frame(tmp_path):
    files = [write_part(tmp_path / f"{number}.ts", **WIDE, **turned(90)) for number in range(2)]
    found = shown(splice(tmp_path / "v.ts", *files))
    assert found.letters == 20 * "o" and not found.remarks
    assert all(close(corners(image), (GREEN, WHITE, RED, BLUE), 20) for image in found.images.values())


@pytest.mark.integration
def test_the_containers_pixel_aspect_holds_until_frames_state_another(tmp_path):
    """A container that contradicts its frames is believed; what a change of theirs then means, nobody knows."""
    files = [write_part(tmp_path / f"{n}.ts", **WIDE, aspect=a) for n, a in enumerate([Fraction(1), Fraction(4, 3)])]
    path = splice(tmp_path / "v.mp4", *files)
    data = path.read_bytes()
    assert data.count(b"pasp") == 1
    at = data.index(b"pasp") + 4
    path.write_bytes(data[:at] + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + data[at + 8 :])
    found = shown(path)
    assert found.letters == 10 * "o" + 10 * "R" and found.images[0].shape == (64, 228, 3)
    path.rename(tmp_path / "a.mp4")
    result, reader, _ = run(make_source(tmp_path, ["a"]), tmp_path / "c", fps=10.0)
    assert (result.statuses["ok"], result.statuses["reshaped"]) == (10, 10)
    height, width, _ = np.asarray(canonical_frame.decode_jpeg(reader.frames("000000").jpeg(0))).shape
    assert width / height == pytest.approx(2 * 160 / 90, abs=0.02)


def test_the_left_eye_of_another_shape_or_orientation_is_refused(tmp_path):
    pair, other = write_part(tmp_path / "a.ts", (90, 320)), write_part(tmp_path / "b.ts", (90, 160))
    upside_down = write_part(tmp_path / "c.ts", (90, 320), **turned(180))
    found = shown(splice(tmp_path / "v.ts", pair, other, upside_down), left_eye=True)
    assert found.letters == 10 * "o" + 20 * "R"
    assert found.images[0].shape == (64, 114, 3)
    assert close(corners(found.images[0]), (RED, RED, BLUE, BLUE), 20)


@pytest.mark.integration
def test_refused_times_have_their_status_in_cache_account_and_record(tmp_path, backend):
    files = [write_part(tmp_path / f"{number}.ts", **part) for number, part in enumerate([WIDE, TALL])]
    splice(tmp_path / "a.mp4", *files)
    result, reader, _ = run(make_source(tmp_path, ["a"]), tmp_path / "c", fps=10.0, backend=backend, shard_frames=4)
    assert result.statuses == {"ok": 10, "corrupt": 0, "redacted": 0, "missing": 0, "reshaped": 10}
    assert (result.rows, result.reshaped, result.exit_code) == (10, 1, 0)
    statuses = np.concatenate([segment.request_status for _, _, segment in reader.segments_of("a")])
    assert statuses.tolist() == 10 * [Status.OK] + 10 * [Status.RESHAPED]
    remarks = [record.provenance["remarks"] for record in reader.records.values()]
    assert all("at 1.000 s from 160x90 to 120x160" in remark["a"][0] for remark in remarks[3:])
    again, _, _ = run(make_source(tmp_path, ["a"]), tmp_path / "c", fps=10.0, backend=backend, shard_frames=4)
    assert again.statuses == result.statuses


@pytest.mark.integration
def test_a_run_that_resumes_in_a_refused_part_does_not_call_the_video_undecodable(tmp_path):
    files = [write_part(tmp_path / f"{number}.ts", **part) for number, part in enumerate([WIDE, TALL])]
    splice(tmp_path / "a.mp4", *files)
    source, cache = make_source(tmp_path, ["a"]), tmp_path / "c"
    run(source, cache, fps=10.0, shard_frames=10)
    (cache / "records" / "000001.json").unlink()  # as if the run had been killed before it
    result, _, _ = run(source, cache, fps=10.0, shard_frames=10)
    assert not result.quarantined and result.statuses["reshaped"] == 10 and result.statuses["ok"] == 10


# -- the files of awkward cases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFEST_ROWS)
@pytest.mark.integration
def test_awkward_files_match_their_manifest_rows(faults, tmp_path, name):
    path = faults / name
    source = Source(faults, "folder", (Video("v", path, name),), make_source(faults, ["v"]).clips, ("cut", "stir"))
    result, reader, _ = run(source, tmp_path / "c", fps=2.0)
    found, timeline = shown(path, 2.0), timeline_of(path)
    assert result.exit_code == 0 and "." not in found.letters
    if name == "size_changes.ts":
        assert found.letters == "ooooooRRRRRR" and result.statuses["reshaped"] == 6 and result.reshaped == 1
        assert all(image.shape == (64, 114, 3) for image in found.images.values())
        assert "from 320x180 to 240x320" in found.remarks[0]
        return
    assert set(found.letters) == {"o"} and result.statuses["ok"] == reader.num_rows == len(found.letters)
    assert (timeline.rotation, timeline.mirrored) == (0, name == "matrix_hflip.mp4")
    assert any("is invalid" in note for note in timeline.notes) == (name == "matrix_zero.mp4")


def test_side_data_without_a_name_in_pyav_is_no_obstacle(faults):
    with av.open(str(faults / "spatial_mvhevc.mp4")) as container:
        frames = list(container.decode(video=0))
    with pytest.raises(ValueError, match="is not a valid Type"):
        len(frames[0].side_data)
    read = MatrixReader()
    assert [read(frame) for frame in frames] == 10 * [None]


def test_the_mirrored_file_is_the_other_one_mirrored(faults):
    """Both hold the same packets."""
    mirrored, plain = (shown(faults / f"matrix_{name}.mp4", 2.0).images for name in ("hflip", "zero"))
    assert len(plain) == len(mirrored) > 5
    for i, image in plain.items():
        assert (
            np.abs(image[:, ::-1].astype(int) - mirrored[i]).mean() < 2 < np.abs(image.astype(int) - mirrored[i]).mean()
        )


def test_a_frame_whose_matrix_was_read_is_freed_at_once(tmp_path):
    """Frames of 1080p have 3 MB: forty that wait for a garbage collection are 120 MB of a decode process."""

    def num_frames() -> int:
        return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())

    gc.collect()
    before = num_frames()
    with av.open(str(write_video(tmp_path / "v.mp4", 3, rotation=90))) as container:
        frames = list(container.decode(video=0))
    gc.disable()
    try:
        assert num_frames() == before + 3
        assert MatrixReader()(frames[0]) is not None
        del frames
        assert num_frames() == before
    finally:
        gc.enable()
