"""The commands that embed a folder of videos at one frame a second with the same teacher: ours and the peers'."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
OURS = "extract-teacher"
DEMO = CHECKOUT / "models" / "teachers" / "demo-clip"


@dataclass(frozen=True)
class BenchTeacher:
    """A teacher as options of extract-teacher, and of the peers."""

    ours: tuple[str, ...]
    peers: tuple[str, ...]


TEACHERS = {
    "demo": BenchTeacher(
        ("--teacher-size", "demo"),
        ("--model", DEMO.stem, "--weights", f"{DEMO}.safetensors", "--config", f"{DEMO}.json"),
    ),
    "ViT-B/32": BenchTeacher(
        ("--teacher-size", "base", "--teacher-weights", "random", "--seed", "0"),
        ("--model", "ViT-B-32-quickgelu", "--weights", "random"),
    ),
}
PEERS = {  # name -> its module, and the packages without which it cannot run
    "OpenCV loop": ("opencv_loop", ("cv2",)),
    "torchcodec, DataLoader": ("torchcodec_loader", ("torchcodec.decoders",)),
    "Ray Data": ("ray_data", ("ray.data", "decord")),
}
NOT_INSTALLABLE = {  # peers that were tried on 2026-11-29, and what happened
    "clip-video-encode 1.3.0": "it requires pyarrow<8, of 2022, which has no wheel for Python 3.11 and does not build",
    "video_features": "it is not a package, but a repository to clone, with an environment of conda",
}


def environment() -> dict[str, str]:
    """That of a user: nothing limits the threads. The checkout is found by its name and the peers by theirs."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def ours(teacher: str, videos: Path, output: Path, options: Sequence[str] = ()) -> list[str]:
    """extract-teacher without views and labels, as the peers have none."""
    where = ["--data-dir", str(videos), "--cache-dir", str(output), "--fps", "1", "--views", "0"]
    command = [sys.executable, "-m", "embedonce.cli", "extract-teacher", *where, "--teacher-head", "none"]
    return [*command, *TEACHERS[teacher].ours, *options]


def peer(name: str, python: Path, teacher: str, videos: Path, output: Path) -> list[str]:
    """The command of a peer, for the interpreter of its environment."""
    where = ["--videos", str(videos), "--output", str(output), "--fps", "1"]
    return [str(python), "-m", f"benchmarks.peers.{PEERS[name][0]}", *where, *TEACHERS[teacher].peers]


def why_not(name: str, python: Path) -> str | None:
    """Why a peer cannot run; None if it can."""
    if not python.exists():
        return f"there is no {python}: `make bench-extract` creates it"
    imports = "; ".join(f"import {module}" for module in PEERS[name][1])
    tried = subprocess.run([str(python), "-c", imports], capture_output=True, text=True, cwd=CHECKOUT)
    return None if tried.returncode == 0 else next(iter(reversed(tried.stderr.strip().splitlines())), "it crashed")


def version(python: Path, package: str) -> str | None:
    """The version of a package in the peers' environment; None if it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None
