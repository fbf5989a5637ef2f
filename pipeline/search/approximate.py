"""An approximate index over the rows of a search index, by faiss, for caches of very many frames.

An inverted file of float16 vectors. What it finds is scored exactly, so that scores are right, but the best rows may be
missing; how often that happens is measured with some stored rows when it is made.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedonce.cache import commit, documents
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.registry import stored_path
from embedonce.pipeline.files import partial_files
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.runtimes.requirements import FAISS, as_pipeline_error, require
from embedonce.pipeline.search import brute_force
from embedonce.pipeline.search.brute_force import Candidates
from embedonce.pipeline.search.index_parts import APPROXIMATE
from embedonce.pipeline.search.row_index import COMMAND, RowIndex

log = logging.getLogger(__name__)

HEAD = "faiss.json"
MAX_LISTS, ROWS_PER_LIST, ROUNDS = 4096, 40, 10  # of k-means
BLOCK_ROWS = 1 << 16
SEARCHED_SHARE, MIN_SEARCHED = 1 / 32, 16  # of the lists, in which rows are looked for
TOP, NUM_MEASURED = 10, 16
ROW_BYTES = 8  # a row number, besides the vector


@dataclass(frozen=True)
class _Facts:
    """What a stored index was made of. rows: SHA-256 of its units; recall: share of the TOP best rows that it found."""

    rows: str
    num_bytes: int
    modified_ns: int
    recall: float


def ranked(folder: Path, index: RowIndex, query: np.ndarray, allowed: np.ndarray | None) -> Iterator[Candidates]:
    """As brute_force.ranked(), of rows that faiss finds; none is certain not to be missing, so limits are -inf.

    folder: where the approximate index is kept; it is made if it is missing, damaged or of other rows. InputError if
    faiss is not installed.
    """
    require(FAISS, "--index faiss")
    with as_pipeline_error("faiss failed", "search without --index faiss"):
        found, facts = _stored(folder, index) or _made(folder, index)
    log.info("approximate search: %.1f %% of the %d best frames are found", 100 * facts.recall, TOP)
    count = brute_force.FIRST_CANDIDATES
    while True:
        rows = _rows(found, query, min(count, index.num_rows))
        yield _exact(index, rows if allowed is None else rows[allowed[rows]], query)
        if count >= index.num_rows:
            return
        count *= 4


def _exact(index: RowIndex, rows: np.ndarray, query: np.ndarray) -> Candidates:
    scores = brute_force.scores(index.blocks, rows, query)
    order = np.lexsort((rows, -scores))
    return Candidates(rows[order], scores[order], -np.inf)


def _rows(found: Any, query: np.ndarray, count: int) -> np.ndarray:
    """(m,) int64: at most count rows, with the largest approximate scores first."""
    rows = found.search(query[None], count)[1][0]
    return rows[(rows >= 0) & (rows < found.ntotal)]


def _digest(index: RowIndex) -> str:
    """SHA-256 of which rows are in the search index, and in which order."""
    units = [[name, part.path.name, crc32] for name, (part, crc32) in zip(index.units, index.checksums, strict=True)]
    return commit.sha256(commit.to_json(units))


def _stored(folder: Path, index: RowIndex) -> tuple[Any, _Facts] | None:
    """The stored index of these rows; None, with a warning if it is damaged, if it has to be made."""
    import faiss

    head, path = stored_path(folder) / HEAD, folder / APPROXIMATE
    if not head.exists():
        return None
    try:
        document = documents.read(head)
        with documents.as_damaged_error(str(head)):
            facts = _Facts(**{name: document[name] for name in _Facts.__dataclass_fields__})
        if facts.rows != _digest(index):
            return None
        status = path.lstat()
        if (status.st_size, status.st_mtime_ns) != (facts.num_bytes, facts.modified_ns):
            raise DamagedError(f"{path} was changed or copied since it was written")
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP), facts
    except (DamagedError, OSError, RuntimeError) as error:
        log.warning("%s; the approximate index is made again", error)
        return None


def _made(folder: Path, index: RowIndex) -> tuple[Any, _Facts]:
    """Make and store the index."""
    import faiss

    width = index.blocks[0].shape[1]
    check_space(folder, index.num_rows * (2 * width + ROW_BYTES), "choose another folder with --index-dir")
    path = folder / APPROXIMATE
    with sole_writer(folder, COMMAND):
        made = _trained(index, width)
        with Progress(index.num_rows, "approximate index", "frames") as progress:
            for start in range(0, index.num_rows, BLOCK_ROWS):
                rows = np.arange(start, min(start + BLOCK_ROWS, index.num_rows))
                made.add(index.vectors(rows).astype(np.float32))
                progress.update(len(rows))
        try:
            faiss.write_index(made, str(partial_files.partial_path(path)))
            partial_files.publish(path)
        except RuntimeError as error:
            raise StorageError(f"{path} cannot be written: {str(error).splitlines()[-1]}") from error
        finally:
            partial_files.partial_path(path).unlink(missing_ok=True)
        status = path.stat()
        facts = _Facts(_digest(index), status.st_size, status.st_mtime_ns, _recall(made, index))
        commit.replace(folder / HEAD, documents.serialize_with_checksum(asdict(facts)))
    return made, facts


def _trained(index: RowIndex, width: int) -> Any:
    """An empty index whose lists suit these rows."""
    import faiss

    num_lists = int(np.clip(index.num_rows // ROWS_PER_LIST, 1, min(MAX_LISTS, 4 * index.num_rows**0.5)))
    sample = np.random.default_rng(0).choice(index.num_rows, min(index.num_rows, num_lists * ROWS_PER_LIST), False)
    made = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, num_lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    made.cp.niter, made.cp.min_points_per_centroid = ROUNDS, 1
    made.nprobe = min(num_lists, max(MIN_SEARCHED, int(num_lists * SEARCHED_SHARE)))
    log.info("training an approximate index of %d lists on %d frames", num_lists, len(sample))
    made.train(index.vectors(np.sort(sample)).astype(np.float32))
    return made


def _recall(found: Any, index: RowIndex) -> float:
    """Share of the TOP best rows that are found for some stored rows."""
    rows = np.random.default_rng(1).choice(index.num_rows, min(NUM_MEASURED, index.num_rows), False)
    shares = []
    for vector in index.vectors(rows).astype(np.float32):
        query = vector / np.linalg.norm(vector)
        exact = next(brute_force.ranked(index.blocks, query)).rows[:TOP]
        shares.append(np.isin(exact, _rows(found, query, TOP)).mean())
    return float(np.mean(shares))
