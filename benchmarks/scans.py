"""What a scan costs by a video's header and by all its packets: seconds, and bytes read.

    python -m benchmarks.scans --videos FOLDER_OF_REAL_VIDEOS

The made video is half an hour of small ProRes frames. Of real videos, it says of how many the header was enough; these
and all others must come out the same both ways. All files are in memory: from a disk, the bytes count.
"""

from contextlib import contextmanager
from pathlib import Path

import av
import click

from benchmarks.decode_real import files_in
from benchmarks.footage import repeated
from benchmarks.measuring import finish, interleaved, machine
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video import scanning
from embedonce.pipeline.video.header_index import index_by_header
from tests.support.index_comparison import scanned_both_ways
from tests.support.videos import write_video

FPS = 1.0
SHORT_SEC, RATE, SIZE = 10, 25, (270, 480)


@contextmanager
def all_packets():
    """Scans read all packets of every file."""
    scanning.index_by_header = lambda *_: iter(())  # type: ignore[assignment]
    try:
        yield
    finally:
        scanning.index_by_header = index_by_header


def scan(path: Path) -> None:
    *_, found = scan_video(ScanTask("v", path, Grid(FPS), "software"))
    assert found is not None and found.plan is not None


def scan_all_packets(path: Path) -> None:
    with all_packets():
        scan(path)


def bytes_read(call, path: Path) -> int:
    """Bytes that this process asks the system for during a call (Linux)."""
    before = _num_read()
    call(path)
    return _num_read() - before


def _num_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def made_video(folder: Path, seconds: int) -> Path:
    """ProRes, as long as this, made if it is not there."""
    short = folder / "prores.mov"
    if not short.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "b_frames": None, "rate": RATE, "size": SIZE}
        write_video(short, SHORT_SEC * RATE, **settings)
    return repeated(short, seconds)


def compare(path: Path, repeats: int) -> dict:
    """Seconds and megabytes of both ways, and their ratios."""
    calls = {"header": scan, "all packets": scan_all_packets}
    seconds = interleaved({name: lambda call=call: call(path) for name, call in calls.items()}, repeats)
    read = {name: bytes_read(call, path) for name, call in calls.items()}
    found = {f"{name}, seconds": round(seconds[name], 3) for name in calls}
    found |= {f"{name}, MB read": round(read[name] / 1e6, 1) for name in calls}
    found["times faster"] = round(seconds["all packets"] / seconds["header"], 1)
    return found | {"MB": round(path.stat().st_size / 1e6, 1), "frames": _num_packets(path)}


def _num_packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return container.streams.video[0].frames


@click.command()
@click.option("--folder", type=Path, default=Path("results/benchmarks/videos"), show_default=True)
@click.option("--videos", type=Path, multiple=True, help="Folders of real videos.")
@click.option("--seconds", default=1800, show_default=True, help="Length of the made video.")
@click.option("--repeats", default=5, show_default=True)
def main(folder: Path, videos: tuple[Path, ...], seconds: int, repeats: int) -> None:
    figures = {"made video": compare(made_video(folder, seconds), repeats)}
    for one in videos:
        outcomes = [scanned_both_ways(path)[1] for path in files_in([one])]
        figures[str(one)] = {"files, the same both ways": len(outcomes), "by header": sum(outcomes)}
    finish("scans", figures | {"machine": machine("av")})


if __name__ == "__main__":
    main()
