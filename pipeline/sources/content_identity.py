"""Identifies files by content: a fast fingerprint of sampled bytes, a full hash, and a full comparison."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedonce.pipeline.images.joined_files import open_regular
from embedonce.pipeline.remote_files.remote_file import RemoteFile
from embedonce.pipeline.sources.source import VideoPath

WHOLE_BYTES = 1 << 20  # files up to this size are hashed completely
EDGE_BYTES, SAMPLE_BYTES, NUM_SAMPLES = 1 << 16, 1 << 14, 14  # larger files: both ends and evenly spaced samples
READER_THREADS = 8  # they mostly wait for the disk
REMOTE_READER_THREADS = 32  # and these for answers of a server
COMPARED_BYTES = 1 << 20


def fingerprint(path: VideoPath) -> str:
    """SHA-256 (64 hexadecimal digits) of a file's size and its bytes, or samples of them if it is large.

    Equal files have equal fingerprints. "" if the file cannot be read.
    """
    try:
        with opened(path) as file:
            return fingerprint_of(file)
    except OSError:
        return ""


def fingerprint_of(file: io.BufferedReader) -> str:
    """The fingerprint() of an open file. OSError if it cannot be read."""
    size = file.seek(0, 2)
    digest = hashlib.sha256(f"{size}\n".encode())
    for start, length in _parts(size):
        file.seek(start)
        digest.update(file.read(length))
    return digest.hexdigest()


def whole_fingerprint(path: VideoPath) -> str:
    """SHA-256 of all bytes of a file, to distinguish files with equal samples. "" if it cannot be read."""
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def in_threads(read: Callable[[VideoPath], str], paths: Iterable[VideoPath]) -> list[str]:
    """read() of each path, in order, of several at once."""
    paths = list(paths)
    is_remote = any(isinstance(path, RemoteFile) for path in paths)
    with ThreadPoolExecutor(REMOTE_READER_THREADS if is_remote else READER_THREADS) as pool:
        return list(pool.map(read, paths))


def are_equal(a: VideoPath, b: VideoPath) -> bool:
    """Whether two files have the same bytes; reads both completely. False if one cannot be read."""
    try:
        with opened(a) as ours, opened(b) as theirs:
            while True:
                chunk = ours.read(COMPARED_BYTES)
                if chunk != theirs.read(COMPARED_BYTES):
                    return False
                if not chunk:
                    return True
    except OSError:
        return False


def read_whole(path: VideoPath) -> Iterator[None]:
    """Read a file to its end, COMPARED_BYTES per step. OSError if it cannot be read."""
    with opened(path) as file:
        while file.read(COMPARED_BYTES):
            yield


def opened(path: VideoPath) -> io.BufferedReader:
    """A regular file, open for reading. OSError for anything else: reading a pipe or a device may block forever."""
    return open_regular(path) if isinstance(path, Path) else path.open()


def _parts(size: int) -> list[tuple[int, int]]:
    """(start, length) of the byte ranges that are hashed of a file of this size."""
    if size <= WHOLE_BYTES:
        return [(0, size)]
    step = (size - 2 * EDGE_BYTES - SAMPLE_BYTES) / (NUM_SAMPLES - 1)
    samples = [(round(EDGE_BYTES + i * step), SAMPLE_BYTES) for i in range(NUM_SAMPLES)]
    return [(0, EDGE_BYTES), *samples, (size - EDGE_BYTES, EDGE_BYTES)]
