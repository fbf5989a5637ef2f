"""How long after its start an extraction from a large folder has committed its first shard.

python -m benchmarks.first_shard [--videos N] [OPTION OF extract-teacher ...]

The folder holds copies of the real MP4 files in EMBEDONCE_VIDEOS, each with a box of its own at the end, so that no two
are the same video. The run is ended after its first shard.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import finish, machine

MAX_BYTES = 300_000  # of a file that is copied
POLL_SEC = 0.05
PROBES = ("clip-video-encode__vid1.mp4", "mp4ff__mp4_prog_8s.mp4", "mp4ff__examples_multitrack_main_1.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--work-dir", type=Path)
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=arguments.work_dir) as folder:
        videos = Path(folder, "videos")
        make_folder(videos, arguments.videos)
        seconds = seconds_to_first_shard(videos, Path(folder, "cache"), options)
    figures = {"videos": arguments.videos, "options": options, "first_shard_sec": round(seconds, 1)}
    finish("first_shard", figures | machine("av", "torch"))


def make_folder(folder: Path, num_videos: int) -> None:
    """Copies of the real files in turn, in twenty folders."""
    real = [Path(os.environ["EMBEDONCE_VIDEOS"], name).read_bytes() for name in PROBES]
    for number in range(num_videos):
        path = folder / f"class{number % 20:02d}" / f"video{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"video {number:08d}".encode()
        box = (8 + len(text)).to_bytes(4, "big") + b"free" + text
        path.write_bytes(real[number % len(real)] + box)


def seconds_to_first_shard(videos: Path, cache: Path, options: list[str]) -> float:
    """From the start of the process to its first record."""
    command = [sys.executable, "-m", "embedonce.cli", "extract-teacher", "--data-dir", videos, "--cache-dir", cache]
    records = cache / "frames" / "records"
    start = time.monotonic()
    with subprocess.Popen([*map(str, command), *options], start_new_session=True) as process:
        try:
            while not any(records.glob("*.json")):
                if process.poll() is not None:
                    raise SystemExit(f"the extraction ended with exit code {process.returncode} before its first shard")
                time.sleep(POLL_SEC)
            return time.monotonic() - start
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()


if __name__ == "__main__":
    main()
