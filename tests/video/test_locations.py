"""Videos that are not local files: read through an open file, with the results of the same local file."""

import contextlib
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.video.container import TemporaryError, VideoError, open_video
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.demuxer_input import demuxer_input
from embedonce.pipeline.video.scanning import announced_end_sec
from tests.support.videos import digest, timeline_of, write_video


class Elsewhere:
    """A file that is only reached through open(). breaks_at: position from which on reads fail."""

    def __init__(self, path: Path, breaks_at: int | None = None):
        self._path, self._breaks_at = path, breaks_at

    def open(self, mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_Breaking(self._path, self._breaks_at))

    def stat(self):
        return self._path.stat()


class _Breaking(io.FileIO):
    def __init__(self, path: Path, breaks_at: int | None):
        super().__init__(path)
        self._breaks_at = breaks_at

    def readinto(self, buffer):
        if self._breaks_at is not None and self.tell() + len(buffer) > self._breaks_at:
            raise ConnectionError("the line is dead")
        return super().readinto(buffer)


@pytest.fixture(scope="module", params=["v.mp4", "v.mkv", "v.ts", "v.avi", "v.h264", "v.mov", "v.flv"])
def path(request, tmp_path_factory) -> Path:
    settings = {"ticks": 90000} if request.param.endswith("ts") else {}
    settings |= {"b_frames": 0} if request.param.endswith(("avi", "h264", "flv")) else {}
    settings |= {"ticks": 1000} if request.param.endswith("flv") else {}
    return write_video(tmp_path_factory.mktemp("locations") / request.param, 90, **settings)


def test_a_scan_gives_the_timeline_of_the_local_file(path):
    ours, theirs = timeline_of(Elsewhere(path)), timeline_of(path)
    for field in dataclasses.fields(ours):
        if field.name != "index":
            np.testing.assert_equal(getattr(ours, field.name), getattr(theirs, field.name))
    assert announced_end_sec(Elsewhere(path)) == announced_end_sec(path)


def test_decoded_frames_are_those_of_the_local_file(path):
    timeline = timeline_of(path)
    wanted = np.arange(3, len(timeline.pts), 11)
    found = []
    for location in (path, Elsewhere(path)):
        frames = RequestedFrames(location, wanted, timeline.pts[wanted], timeline.by_order)
        found.append([(item[0], digest(item[1])) for item in frames if item is not None])
    assert found[0] == found[1] and len(found[0]) == len(wanted)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_it_is_opened_by_its_headers_and_by_an_earlier_opening(tmp_path, suffix):
    path = write_video(tmp_path / f"v.{suffix}", 20)
    with open_video(Elsewhere(path), "software", is_probed=False) as (container, _):
        assert container.format.name.startswith(("mov", "matroska"))
    known = timeline_of(path).index.stream
    for one in (known, dataclasses.replace(known, index=7)):  # the second one is not in the file
        with open_video(Elsewhere(path), "software", one) as (container, stream):
            assert sum(1 for packet in container.demux(stream) if packet.size) == 20


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_file_that_cannot_be_read_to_its_end_may_be_usable_later(path, share):
    size = path.stat().st_size
    with pytest.raises(TemporaryError, match=r"cannot be read now .*the line is dead"):
        timeline_of(Elsewhere(path, int(size * share)))


def test_a_failed_read_counts_even_if_it_is_taken_for_the_end(path):
    with (
        pytest.raises(ConnectionError, match="dead"),
        demuxer_input(Elsewhere(path, 0)) as source,
        contextlib.suppress(ConnectionError),
    ):
        source.read(10)


def test_a_file_that_is_no_video_is_no_passing_failure(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="it is a text file") as caught:
        timeline_of(Elsewhere(tmp_path / "text.mp4"))
    assert not caught.value.is_temporary
