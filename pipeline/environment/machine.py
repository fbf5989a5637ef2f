"""What a machine is: system, processor, memory, free disk space, settings of the environment."""

import os
import platform
import shutil
import sys
from pathlib import Path

from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.processes.cores import usable_cores

CPU_INFO, MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "LD_PRELOAD"),
    *("HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "TMPDIR", "XDG_CACHE_HOME"),
)  # they change how this program runs, and hold no secrets


def system() -> str:
    """Python, operating system and architecture, in one line."""
    kind = " ".join(part for part in platform.libc_ver() if part)
    return f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}{kind and f', {kind}'}"


def processor() -> str:
    """The processor's name and the cores that this process may use."""
    names = _fields(CPU_INFO).get("model name", platform.processor() or platform.machine())
    usable, present = usable_cores(), os.cpu_count() or 1
    return f"{names}, {present} cores" + (f", of which this process may use {usable}" if usable < present else "")


def memory() -> str:
    """Memory of the machine, and how much of it is free."""
    fields = _fields(MEMORY_INFO)
    sizes = {name: int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable") if name in fields}
    if len(sizes) < 2:
        return "unknown"
    return f"{in_bytes(sizes['MemTotal'])}, of which {in_bytes(sizes['MemAvailable'])} are free"


def disk(folder: Path) -> str:
    """The free space where a folder is."""
    usage = shutil.disk_usage(folder)
    return f"{in_bytes(usage.free)} of {in_bytes(usage.total)} free in {folder}"


def variables() -> str:
    """The settings of the environment that matter here."""
    return ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ) or "none"


def _fields(path: Path) -> dict[str, str]:
    """The first value of each field in a file of lines `field: value`; none if there is no such file."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = [line.partition(":")[::2] for line in reversed(lines) if ":" in line]
    return {name.strip(): value.strip() for name, value in pairs}
