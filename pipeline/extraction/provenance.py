"""Who computes, with what: recorded with each shard, never a reason to refuse one."""

import importlib.metadata
import platform
import socket

from embedonce.pipeline.teachers.teacher import Teacher

LIBRARIES = ("numpy", "av", "pillow", "torch", "open_clip_torch", "h5py")


def provenance(teacher: Teacher) -> dict:
    """JSON values: interpreter, host, versions of the libraries, and what the teacher says of itself."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    computing = teacher.device_facts()
    return {"python": platform.python_version(), "host": socket.gethostname(), "libraries": versions, **computing}
