"""Videos, an extraction of them by one process, and what must be equal when a cluster extracts them."""

from pathlib import Path

import av
import numpy as np

from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from tests.commands.test_cli import call
from tests.extraction.test_runner import check_same_rows, content
from tests.support.numpy_teacher import write_teacher
from tests.support.videos import write_video

OPTIONS = ("--fps", "5", "--views", "1", "--shard-frames", "8", "--batch-size", "8", "--decode-workers", "1")


def make_videos(folder: Path) -> Path:
    """Six videos of two classes, one of which is white, and a broken one."""
    for action in ("cut", "stir"):
        (folder / action).mkdir(parents=True)
        for number in range(3):
            write_video(folder / action / f"{number}.mp4", 60 + 20 * number)
    write_white_video(folder / "cut" / "white.mp4", 60)
    (folder / "stir" / "broken.mp4").write_bytes(b"no video")
    return folder


def write_white_video(path: Path, num_frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 64, "yuv420p"
        for _ in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 160, 3), 255, np.uint8), "rgb24")))
        container.mux(stream.encode(None))


def extract(videos: Path, cache: Path, teacher: Path, *options, code: int = 3) -> str:
    """The output of extract-teacher with a teacher of numpy alone."""
    words = ("--data-dir", videos, "--cache-dir", cache, "--teacher-module", teacher, *OPTIONS, *options)
    return call("extract-teacher", *words, code=code)


def extracted_by_one(videos: Path, folder: Path) -> Path:
    """A cache that the local engine made."""
    extract(videos, folder / "whole", write_teacher(folder))
    return folder / "whole"


def check_equal(cache: Path, whole: Path, without: str = "") -> None:
    """Check that a cache is sound and has the rows, clips and logits of another one, each once.

    without: stem of a video whose rows are missing, because it was quarantined.
    """
    found, expected = open_reader(cache), open_reader(whole)
    missing = {uid for uid in expected.planned_uids() if without and without in uid}
    assert len(missing) == bool(without)
    rows = {key: row for key, row in content(whole).items() if key.rpartition("_")[0] not in missing}
    check_same_rows(content(cache), rows)
    assert set(found.label_set("zero-shot").clips) == set(expected.label_set("zero-shot").clips)
    assert found.logits_units("zero-shot") == set(found.records)
    planned = [video.uid for part in found.plan() for video in part.videos]
    assert sorted(planned) == sorted(expected.planned_uids())
    assert found.quarantined().keys() - missing == expected.quarantined().keys()
    assert verify(cache).problems == []
