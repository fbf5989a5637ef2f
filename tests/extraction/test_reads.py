"""How often an extraction opens each video, and what it reads of it, stage by stage."""

import contextlib
from pathlib import Path

import pytest

from embedonce.pipeline.extraction import runner
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.remote_files import spool
from embedonce.pipeline.sources import content_identity
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import data_folder
from embedonce.pipeline.sources.source import Source
from tests.extraction.test_runner import content, make_source
from tests.support.counted_reads import IO, ReadCounter, counting
from tests.support.fake_teacher import FakeTeacher
from tests.support.remote_runs import new_run
from tests.support.videos import write_video
from tests.support.web_server import file_answers, serving

FRAMES = 60
RAW = {"codec": "rawvideo", "pix_fmt": "uyvy422", "b_frames": None, "size": (180, 320)}


class ScannedError(Exception):
    """Ends a run after the scan."""


def counted(source: Source, cache_dir: Path, fps: float = 1.0) -> ReadCounter:
    """What an extraction in one process reads."""
    folder = source.root if isinstance(source.root, Path) else None
    with counting(folder) as counter:
        writer, *_ = extract(ExtractConfig(folder, False, cache_dir, decode_workers=1, fps=fps), source, FakeTeacher)
    writer.close()
    return counter


def scan_only(source: Source, cache_dir: Path) -> None:
    """A run that ends when everything is planned and nothing extracted."""

    def stop(*_):
        raise ScannedError

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(ScannedError):
        patch.setattr(runner, "_extract_units", stop)
        counted(source, cache_dir)


def video(folder: Path, **settings) -> Source:
    folder.mkdir(exist_ok=True)
    write_video(folder / "a.mp4", FRAMES, **settings)
    return make_source(folder, ["a"])


def of_stages(counter: ReadCounter, name: str) -> list[int]:
    """This count for fingerprint, scan and decode."""
    return [getattr(reads, name) for reads in counter.stages.values()]


def test_packets_are_read_once_to_index_them_and_once_to_decode(tmp_path):
    counter = counted(video(tmp_path), tmp_path / "c")
    assert of_stages(counter, "opens") == [1, 3, 3] and of_stages(counter, "demuxers") == [0, 1, 1]
    _, scanned, decoded = of_stages(counter, "packets")
    assert scanned == FRAMES and FRAMES // 2 < decoded <= FRAMES


def test_a_run_that_resumes_after_the_scan_reads_all_packets_once(tmp_path):
    source = video(tmp_path / "v")  # and not the cache's own files
    scan_only(source, tmp_path / "c")
    counter = counted(source, tmp_path / "c")
    assert of_stages(counter, "opens") == [1, 0, 4] and of_stages(counter, "packets") == [0, 0, FRAMES]


def test_a_video_that_needs_a_full_decode_is_indexed_twice(tmp_path):
    """Its plan is not handed on, since decoding needs all of the index; its timestamps need no decoding."""
    (tmp_path / "a.mp4").unlink(missing_ok=True)
    write_video(tmp_path / "a.mov", FRAMES, codec="cinepak", pix_fmt="rgb24", b_frames=None)
    (tmp_path / "a.mov").rename(tmp_path / "a.mp4")
    counter = counted(make_source(tmp_path, ["a"]), tmp_path / "c")
    assert of_stages(counter, "packets") == [0, FRAMES, FRAMES] and of_stages(counter, "demuxers") == [0, 2, 1]


@pytest.mark.skipif(not IO.exists(), reason="this system does not count what a process reads")
def test_little_is_read_of_a_video_that_its_header_indexes_also_when_resumed(tmp_path):
    write_video(tmp_path / "a.mov", 300, **RAW)
    (tmp_path / "a.mov").rename(tmp_path / "a.mp4")
    source, num_bytes = make_source(tmp_path, ["a"]), (tmp_path / "a.mp4").stat().st_size
    counter = counted(source, tmp_path / "c")
    assert counter.stages["decode"].packets == 10 and counter.total.num_bytes < num_bytes / 4
    scan_only(source, tmp_path / "resumed")
    resumed = counted(source, tmp_path / "resumed")
    assert of_stages(resumed, "packets") == [0, 0, 16 + 10] and resumed.total.num_bytes < num_bytes / 4
    assert content(tmp_path / "resumed") == content(tmp_path / "c")


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """(folder of four videos, its URL)."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install -e '.[http,test]'")
    root = tmp_path_factory.mktemp("remote")
    for name in "abcd":
        write_video(root / f"{name}.mp4", FRAMES, options={"crf": "4"}, size=(180, 320))
    with serving(file_answers(root)) as (address, _):
        yield root, f"{address}/"


def test_a_remote_video_is_downloaded_once(remote, tmp_path):
    root, url = remote
    with new_run(tmp_path / "spool"):
        counter = counted(folder_source(data_folder(url)), tmp_path / "c")
    assert counter.total.downloaded == sum(path.stat().st_size for path in root.iterdir())
    assert counter.stages["decode"].requests == 4  # one for each video: is it still the one that was listed?


def test_what_a_scan_downloaded_is_still_there_for_decoding_if_not_all_videos_fit(remote, tmp_path, monkeypatch):
    root, url = remote
    sizes = [path.stat().st_size for path in root.iterdir()]
    monkeypatch.setattr(spool, "CHECK_BYTES", 1)
    monkeypatch.setattr(content_identity, "REMOTE_READER_THREADS", 1)  # each may exceed the limit by one request
    with new_run(tmp_path / "spool", max_bytes=round(2.2 * max(sizes))) as place:
        counter = counted(folder_source(data_folder(url)), tmp_path / "c")
        kept = sum(path.stat().st_blocks * 512 for path in place.folder.iterdir())
    _, scanned, decoded = of_stages(counter, "downloaded")
    assert decoded == 0 and scanned <= sum(sizes) and kept <= 3.2 * max(sizes)
