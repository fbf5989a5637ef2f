"""Files of tensors and plain values, as torch.save writes them: written atomically, read without running code."""

import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import torch

from embedonce.cache import commit
from embedonce.cache.limits import brief
from embedonce.models.archives import check_archive
from embedonce.models.plain_files import NotPlainError
from embedonce.pipeline.errors import CheckpointError

FORMAT = 2
MAX_BYTES = 16 << 30  # of a checkpoint or a training state: students trained here are far smaller


def write_tensors(path: Path, content: dict) -> None:
    """Write or replace the file atomically: after a crash it holds the old content or the new, never a mixture."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    commit.replace(path, buffer.getvalue())


def read_tensors(path: Path) -> dict:
    """The content of the file, on the CPU. Nothing in it is executed, and reading takes no more memory than its size.

    CheckpointError if the file is missing or is not such a file; OSError and MemoryError are those of the machine.
    """
    try:
        check_archive(path, MAX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about foreign files before it refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}; run train-student first") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is not a student checkpoint: it is a folder") from error
    except NotPlainError as error:
        raise CheckpointError(f"{path} is not a student checkpoint: it {error.strerror}") from error
    except UNREADABLE as error:
        problem = f" ({error})" if isinstance(error, ValueError) else ""
        raise CheckpointError(
            f"{path} is damaged or is not a student checkpoint; it was not loaded{problem}"
        ) from error


# What torch's reader raises for bytes that it did not write; OSError and MemoryError are left to the caller
UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, RuntimeError, TypeError),
    *(ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile),
)


def check_format(path: Path, content: dict) -> None:
    """CheckpointError if the file has another format version than this program reads."""
    version = content.get("format")
    if type(version) is not int or version != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {brief(version)}; this program reads format {FORMAT}")
