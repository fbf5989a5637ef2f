"""Read predictions.npz for compare: which clips were evaluated, and the logits of each.

Files may come from anywhere: the archive's directory and the headers of its arrays are checked against the results that
they must belong to before anything is decompressed.
"""

import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from embedonce.models.archives import check_directory
from embedonce.models.plain_files import NotPlainError, open_plain
from embedonce.pipeline.errors import ResultsError
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.results_schema import EvaluationResults

MAX_BYTES = 4 << 30
SPARE_BYTES = 64 << 20  # that any file may decompress to, in addition to four times its own size
_MAX_HEADER = 4096
_BROKEN = (ValueError, TypeError, KeyError, EOFError, RuntimeError, NotImplementedError, OverflowError, SyntaxError)
ARRAYS = {"video_uid", "start_sec", "end_sec", "labels", "logits", "teacher_logits", "embeddings"}
ARRAYS |= {"teacher_embeddings", "classes"}


@dataclass(frozen=True)
class StoredPredictions:
    """The arrays of N evaluated clips that pairing needs: video_uid (N,) text, start_sec and end_sec (N,) float,
    labels (N,) int, -1 for unlabeled, logits (N, C) float."""

    video_uid: np.ndarray
    start_sec: np.ndarray
    end_sec: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


KINDS = {"video_uid": "U", "start_sec": "f", "end_sec": "f", "labels": "i", "logits": "f"}  # numpy's dtype.kind


def read_predictions(path: Path, results: EvaluationResults) -> StoredPredictions | None:
    """Read predictions.npz; None if there is no such file. ResultsError if it does not belong to these results."""
    try:
        with open_plain(path, MAX_BYTES) as file:
            stored = _read_arrays(file, results)
    except FileNotFoundError:
        return None
    except NotPlainError as error:
        raise ResultsError(f"{path} holds no predictions: it {error.strerror}") from error
    except (*_BROKEN, zipfile.BadZipFile, zlib.error) as error:
        raise ResultsError(f"{path} is damaged or holds no predictions; evaluate again, or remove it") from error
    if stored is None or accuracy.top_k_accuracy(stored.logits, stored.labels, 1) != results.student.top1:
        raise ResultsError(f"{path} is not from the evaluation in the same folder; evaluate again, or remove it")
    return stored


def _read_arrays(file: BinaryIO, results: EvaluationResults) -> StoredPredictions | None:
    """The arrays of an archive; None if they are not of these results. An error of _BROKEN if it is malformed."""
    num_bytes = file.seek(0, io.SEEK_END)
    check_directory(file)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(KINDS, (results.num_clips,))
    shapes["logits"] = (results.num_clips, results.num_classes)
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.getinfo(f"{name}.npy") for name in KINDS}
        if sum(entry.file_size for entry in entries.values()) > SPARE_BYTES + 4 * num_bytes:
            raise ValueError("it would decompress to far more than its own size")
        for name, entry in entries.items():
            values = _read_array(archive, entry, KINDS[name], shapes[name])
            if values is None:
                return None
            arrays[name] = values
    stored = StoredPredictions(**arrays)
    return stored if _is_plausible(stored, results.num_classes) else None


def _read_array(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, kind: str, shape: tuple[int, ...]
) -> np.ndarray | None:
    """One array; None if it has another type or shape."""
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"its arrays have version {version}")
        stored_shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member, max_header_size=_MAX_HEADER)
        if stored_shape != shape or dtype.kind != kind or dtype.itemsize > 4 * 1000:
            return None
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > entry.file_size:
            raise ValueError("an array is shorter than its header says")
        data = member.read(num_bytes)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _is_plausible(stored: StoredPredictions, classes: int) -> bool:
    """Whether labels are classes and all numbers are finite."""
    labels = stored.labels
    is_finite = all(np.isfinite(values).all() for values in (stored.start_sec, stored.end_sec, stored.logits))
    return is_finite and (not len(labels) or bool(labels.min() >= -1 and labels.max() < max(classes, 1)))
