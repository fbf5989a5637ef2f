"""What an extraction reads of each video, stage by stage: opens, packets, bytes, requests, processor time.

    python -m benchmarks.reads [--videos FILE ...]

Each video is extracted at 1 fps by a run of its own, in one process, and once more by a run that resumes after the
scan: everything is planned then, and nothing extracted. Remote videos come from a web server in this process. The
teacher is a fake one. Processor times are those of the stages, all threads together.
"""

import contextlib
import logging
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import click
import pytest

from benchmarks.measuring import finish, machine
from benchmarks.scans import made_video
from embedonce.pipeline.extraction import runner
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import data_folder
from embedonce.pipeline.sources.source import Clip, Source, Video, VideoPath
from tests.support.counted_reads import ReadCounter, Reads, counting
from tests.support.fake_teacher import FakeTeacher
from tests.support.remote_runs import new_run
from tests.support.videos import write_video
from tests.support.web_server import file_answers, serving

SECONDS = 120
FRAMES = 30 * SECONDS
H264 = {"size": (240, 320), "gop": 60}
FIRST, RESUMED = "first", "resumed"


class ScannedError(Exception):
    """Ends a run after the scan."""


def made_videos(folder: Path) -> dict[str, Path]:
    """What it is -> a video; made if they are not there."""
    kinds = {
        "H.264, MP4": made(folder / "v.mp4", lambda path: write_video(path, FRAMES, **H264)),
        "H.264, Matroska": made(folder / "v.mkv", lambda path: write_video(path, FRAMES, **H264)),
        "H.264, transport stream": made(folder / "v.ts", lambda path: write_video(path, FRAMES, ticks=90000, **H264)),
    }
    kinds["the same with a hole"] = made(folder / "hole.ts", lambda path: cut_hole(folder / "v.ts", path))
    return kinds | {"ProRes, QuickTime": made_video(folder, SECONDS)}


def made(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{path.name}")
        make(unfinished)
        unfinished.rename(path)
    return path


def cut_hole(source: Path, path: Path) -> None:
    """The transport stream without 20 packets in the middle."""
    data = source.read_bytes()
    middle = len(data) // 2 // 188 * 188
    path.write_bytes(data[:middle] + data[middle + 20 * 188 :])


def both_runs(path: VideoPath, folder: Path | None) -> dict[str, ReadCounter]:
    """The counts of a run, and of one that resumes after the scan."""
    with tempfile.TemporaryDirectory() as work:
        counters = {FIRST: counted(path, folder, Path(work, "c"))}
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(ScannedError):
            patch.setattr(runner, "_extract_units", stop)
            counted(path, folder, Path(work, "d"))
        return counters | {RESUMED: counted(path, folder, Path(work, "d"))}


def stop(*_) -> None:
    raise ScannedError


def counted(path: VideoPath, folder: Path | None, cache_dir: Path) -> ReadCounter:
    """What an extraction of this video alone reads. folder: that it is in; None for a remote one."""
    clip = Clip("v:0", "v", -math.inf, math.inf, 0, "train")
    source = Source(folder or Path(), "folder", (Video("v", path, "v"),), (clip,), ("cut",))
    config = ExtractConfig(folder, False, cache_dir, decode_workers=1, fps=1.0, views=0)
    with counting(folder) as counter:
        writer, *_ = extract(config, source, FakeTeacher)
    writer.close()
    return counter


@contextlib.contextmanager
def remote(path: Path) -> Iterator[VideoPath]:
    """The video behind a URL, of which nothing is downloaded yet."""
    with tempfile.TemporaryDirectory() as work:
        root = Path(work, "served")
        root.mkdir()
        (root / path.name).symlink_to(path.resolve())
        with serving(file_answers(root)) as (address, _), new_run(Path(work, "spool")):
            yield folder_source(data_folder(f"{address}/")).videos[0].path


def line(kind: str, run: str, counter: ReadCounter, num_bytes: int, is_remote: bool) -> str:
    """One line of the table in docs/benchmarks.md."""
    stages, total = counter.stages.values(), counter.total
    read = total.downloaded if is_remote else total.num_bytes
    cells = [
        " + ".join(str(reads.opens) for reads in stages),
        " + ".join(str(reads.packets) for reads in list(stages)[1:]),
        f"{read / num_bytes:.2f}",
        str(total.requests) if is_remote else "–",
        " + ".join(f"{reads.cpu_sec:.3f}" for reads in stages),
    ]
    return f"| {kind} | {run} | {' | '.join(cells)} |"


HEAD = (
    "| video | run | opens: fingerprint, scan, decoding | packets: scan, decoding | bytes / size | requests | "
    "processor, s: fingerprint, scan, decoding |\n|---|---|---|---|---|---|---|"
)


@click.command()
@click.option("--videos", type=Path, multiple=True, help="Further videos.")
@click.option("--work-dir", type=Path, default=Path("results/benchmarks/reads"), show_default=True)
def main(videos: tuple[Path, ...], work_dir: Path) -> None:
    """Measure, show the table, and end with one line of JSON."""
    logging.disable(logging.WARNING)
    found: dict[str, dict[str, dict]] = {}
    lines = [HEAD]

    def note(kind: str, path: Path, counters: dict[str, ReadCounter], is_remote: bool) -> None:
        num_bytes = path.stat().st_size
        found[kind] = {run: _figures(counter) for run, counter in counters.items()}
        lines.extend(line(kind, run, counter, num_bytes, is_remote) for run, counter in counters.items())

    paths = made_videos(work_dir) | {path.name: path for path in videos}
    both_runs(next(iter(paths.values())), work_dir)  # what is loaded once is no part of it
    for kind, path in paths.items():
        note(kind, path, both_runs(path, path.parent), is_remote=False)
    for kind in ("H.264, MP4", "ProRes, QuickTime"):
        with remote(paths[kind]) as location:
            first = {FIRST: both_runs(location, None)[FIRST]}
        note(f"{kind}, remote", paths[kind], first, is_remote=True)
    click.echo("\n".join(lines), err=True)
    finish("reads", {"found": found, "machine": machine("av", "numpy")})


def _figures(counter: ReadCounter) -> dict[str, dict]:
    """By stage, processor times rounded."""
    rounded = {stage: replace(reads, cpu_sec=round(reads.cpu_sec, 4)) for stage, reads in counter.stages.items()}
    return {stage: asdict(reads) for stage, reads in rounded.items() if reads != Reads()}


if __name__ == "__main__":
    main()
