"""predictions.npz as compare reads it: which clips were judged, and what was said of each.

A file of this kind may come from anywhere: the directory of the archive and the headers of its arrays are held against
the results that it must belong to, before anything of it is decompressed.
"""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from embedonce.models.archives import check_directory
from embedonce.models.plain_files import NotPlainError, open_plain
from embedonce.pipeline.errors import ResultsError
from embedonce.pipeline.metrics import accuracy

MAX_BYTES = 4 << 30
SPARE_BYTES = 64 << 20  # that any file may take when it is decompressed, and four times its own bytes besides
_MAX_HEADER = 4096
KINDS = {"video_uid": "U", "start_sec": "f", "end_sec": "f", "labels": "i", "logits": "f"}
_BROKEN = (ValueError, TypeError, KeyError, EOFError, RuntimeError, NotImplementedError, OverflowError, SyntaxError)


def read_predictions(path: Path, results: dict) -> dict[str, np.ndarray] | None:
    """The arrays that pairing needs; None where there is no file. ResultsError where it is not of these results."""
    try:
        with open_plain(path, MAX_BYTES) as file:
            found = _arrays(file, results)
    except FileNotFoundError:
        return None
    except NotPlainError as error:
        raise ResultsError(f"{path} holds no predictions: it {error.strerror}") from error
    except (*_BROKEN, zipfile.BadZipFile, zlib.error) as error:
        raise ResultsError(f"{path} is damaged or holds no predictions; evaluate again, or remove it") from error
    if found is None or accuracy.top_k_accuracy(found["logits"], found["labels"], 1) != results["student"]["top1"]:
        raise ResultsError(f"{path} is not of the evaluation beside it; evaluate again, or remove it")
    return found


def _arrays(file, results: dict) -> dict[str, np.ndarray] | None:
    """The arrays of an archive; None where they are not of these results. ValueError and its like where it is none."""
    num_bytes = file.seek(0, io.SEEK_END)
    check_directory(file)
    clips, classes = results["num_clips"], results["num_classes"]
    shapes = dict.fromkeys(KINDS, (clips,)) | {"logits": (clips, classes)}
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.getinfo(f"{name}.npy") for name in KINDS}
        if sum(entry.file_size for entry in entries.values()) > SPARE_BYTES + 4 * num_bytes:
            raise ValueError("it would become far larger than it is")
        found = {name: _array(archive, entry, KINDS[name], shapes[name]) for name, entry in entries.items()}
    if any(values is None for values in found.values()) or not _is_plausible(found, classes):
        return None
    return found


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, kind: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """One array; None where it is of another type or shape."""
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"its arrays have version {version}")
        found, is_fortran, dtype = np.lib.format.read_array_header_1_0(member, max_header_size=_MAX_HEADER)
        if found != shape or dtype.kind != kind or dtype.itemsize > 4 * 1000:
            return None
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > entry.file_size:
            raise ValueError("an array is shorter than it says")
        data = member.read(num_bytes)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _is_plausible(found: dict[str, np.ndarray], classes: int) -> bool:
    """Whether labels are classes and all numbers are finite."""
    labels = found["labels"]
    is_finite = all(np.isfinite(found[name]).all() for name in ("start_sec", "end_sec", "logits"))
    return is_finite and (not len(labels) or bool(labels.min() >= -1 and labels.max() < max(classes, 1)))
