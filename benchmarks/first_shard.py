"""How long after its start an extraction from a large folder has committed its first shard.

python -m benchmarks.first_shard [--videos N] [--work-dir FOLDER] [OPTION OF extract-teacher ...]

The folder holds copies of the real MP4 files in EMBEDONCE_VIDEOS, by default those in ../shared/data/videos, each with
a box of its own at the end, so that no two are the same video. The run is ended after its first shard.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.decode_real import SHARED
from benchmarks.measuring import finish, machine

POLL_SEC = 0.05
COPIED = ("clip-video-encode__vid1.mp4", "mp4ff__mp4_prog_8s.mp4", "mp4ff__examples_multitrack_main_1.mp4")
CLASSES = ("open door", "close door", "wash hands", "peel apple", "cut bread", "pour water", "fold towel", "read book")
DEFAULTS = ("--teacher-size", "demo", "--fps", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--work-dir", type=Path)
    arguments, given = parser.parse_known_args()
    options = [*DEFAULTS, *given]
    with tempfile.TemporaryDirectory(dir=arguments.work_dir) as folder:
        videos = Path(folder, "videos")
        make_folder(videos, arguments.videos)
        seconds = seconds_to_first_shard(videos, Path(folder, "cache"), options)
    figures = {"videos": arguments.videos, "options": options, "first_shard_sec": round(seconds, 1)}
    finish("first_shard", figures | machine("av", "torch"))


def make_folder(folder: Path, num_videos: int) -> None:
    """Copies of the real files in turn, in one folder for each class."""
    real = [Path(os.environ.get("EMBEDONCE_VIDEOS", SHARED), name).read_bytes() for name in COPIED]
    for number in range(num_videos):
        path = folder / CLASSES[number % len(CLASSES)] / f"video{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"video {number:08d}".encode()
        box = (8 + len(text)).to_bytes(4, "big") + b"free" + text
        path.write_bytes(real[number % len(real)] + box)


def seconds_to_first_shard(videos: Path, cache: Path, options: list[str]) -> float:
    """From the start of the process to its first record. SystemExit if it ends before that."""
    command = [sys.executable, "-m", "embedonce.cli", "extract-teacher", "--data-dir", videos, "--cache-dir", cache]
    command += ["--views", 0]
    start = time.monotonic()
    with subprocess.Popen([*map(str, command), *options]) as process:
        try:
            while not any(cache.glob("records/*.json")):
                if process.poll() is not None:
                    raise SystemExit(f"the extraction ended with exit code {process.returncode} before its first shard")
                time.sleep(POLL_SEC)
            return time.monotonic() - start
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


if __name__ == "__main__":
    main()
