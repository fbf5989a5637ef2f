"""Search in the frames of a cache, by brute force over all stored embeddings, and near-duplicates among them."""

from pathlib import Path

import numpy as np

from embedonce.cache.errors import StorageError
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.metrics import near_duplicates
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.search import approximate, brute_force, queries
from embedonce.pipeline.search.index_parts import discard
from embedonce.pipeline.search.moments import Duplicates, Frame, FramePair, Moment, best_moments
from embedonce.pipeline.search.searched_cache import SearchedCache
from embedonce.pipeline.search.settings import FAISS, SearchConfig
from embedonce.pipeline.teachers.teacher import Teacher

ATTEMPTS = 3
MAX_COMPARED_ROWS = 200_000  # each with every other, which takes about a quarter of an hour of processor time


def search(
    cache: CacheReader | Path | str,
    *,
    text: str | None = None,
    image: Path | str | None = None,
    video: str | None = None,
    time: float | None = None,
    class_name: str | None = None,
    top: int = 10,
    min_gap: float = 2.0,
    **options,
) -> list[Moment]:
    """The moments of a cache that are most similar to one query, best first.

    Args:
        cache: a reader of a cache, or its folder or URL.
        text, image, video with time, class_name: the query, exactly one: a text, an image file, the frame that a video
            of the cache shows at a time in seconds, or a class of a zero-shot label set.
        top: most moments.
        min_gap: frames of a video that are closer together than so many seconds are one moment.
        options: further fields of SearchConfig, such as split, label_set, student, index_dir and teacher_weights.

    ValueError for wrong arguments; InputError, CacheError and ModelError as the command search-cache reports them.
    """
    reader = cache if isinstance(cache, CacheReader) else open_reader(cache)
    paths = {name: Path(value) for name, value in options.items() if name in _PATHS and value is not None}
    config = SearchConfig(
        cache_dir=reader.cache_dir,
        text=text,
        image=None if image is None else Path(image),
        video=video,
        time=time,
        class_name=class_name,
        top=top,
        min_gap=min_gap,
        **(options | paths),
    )
    return find_moments(config, reader)


_PATHS = {option.name for option in SearchConfig.options() if option.value_type is Path}


def find_moments(config: SearchConfig, reader: CacheReader | None = None) -> list[Moment]:
    """The moments most similar to the query of these settings, best first. reader: of their cache, if it is open."""
    searched = SearchedCache(config, reader or open_reader(config.cache_dir))
    for _ in range(ATTEMPTS):
        frame = _stored_frame(searched)
        rows = _best_rows(searched, _query_vector(searched, frame), _allowed(searched, frame))
        used = [row for row, _ in rows] + ([] if frame is None else [frame.row])
        if _is_sound(searched, used):
            places = [(searched.frames.about(row, *searched.index.place(row)), score) for row, score in rows]
            return [Moment(**about, score=score) for about, score in places]
    raise StorageError(f"{searched.root}: the search index is damaged again and again; choose another --index-dir")


def find_duplicates(config: SearchConfig, reader: CacheReader | None = None) -> Duplicates:
    """Near-duplicates between videos, and outliers, with these settings. Arguments as in find_moments()."""
    searched = SearchedCache(config, reader or open_reader(config.cache_dir))
    for _ in range(ATTEMPTS):
        allowed = _allowed(searched, None)
        rows = np.arange(searched.index.num_rows) if allowed is None else np.flatnonzero(allowed)
        if len(rows) > MAX_COMPARED_ROWS:
            raise InputError(
                f"--duplicates compares each frame with every other: {len(rows)} are more than {MAX_COMPARED_ROWS}; "
                "choose some with --split"
            )
        if _is_sound(searched, rows):
            return _duplicates(searched, rows)
    raise StorageError(f"{searched.root}: the search index is damaged again and again; choose another --index-dir")


def _stored_frame(searched: SearchedCache) -> queries.StoredFrame | None:
    """The frame of --video and --time, if that is the query."""
    config = searched.config
    if config.video is None or config.time is None:
        return None
    return queries.stored_frame(searched.reader, searched.table, config.video, config.time)


def _query_vector(searched: SearchedCache, frame: queries.StoredFrame | None) -> np.ndarray:
    """(D,) float32 unit vector."""
    config, reader = searched.config, searched.reader
    if frame is not None:
        return queries.unit(searched.index.vectors(np.array([frame.row]))[0])
    if config.class_name is not None:
        return queries.class_vector(reader, config.label_set, config.class_name)
    if config.text is not None:
        return queries.text_vector(reader, config.text, searched.texts, lambda: _load_teacher(searched))
    jpeg = queries.image_frame(config, reader.identity)
    if searched.student is not None:
        view = queries.evaluation_view(jpeg, reader.identity)
        return queries.unit(searched.student.embed([(jpeg, view)])[0])
    return queries.image_vector(jpeg, reader.identity, _load_teacher(searched))


def _load_teacher(searched: SearchedCache) -> Teacher:
    """The teacher that made the cache. IdentityMismatchError if the chosen one is another."""
    from embedonce.pipeline.extraction.teacher_loading import teacher_of
    from embedonce.pipeline.teachers.modules import module_errors

    with module_errors(searched.config.teacher_module):
        return teacher_of(searched.reader, **searched.config.teacher_options)


def _allowed(searched: SearchedCache, frame: queries.StoredFrame | None) -> np.ndarray | None:
    """(N,) bool: the rows that may be found, without the moment that is searched for; None: all."""
    config, allowed = searched.config, None
    if config.split is not None:
        assert searched.labels is not None  # else there was an error
        allowed = searched.table.in_clips([clip for clip in searched.labels.clips if clip.split == config.split])
        if not allowed.any():
            raise InputError(f"label set {searched.labels.name!r} has no clip with a frame in split {config.split}")
    if frame is not None:
        allowed = np.ones(searched.index.num_rows, bool) if allowed is None else allowed
        allowed[searched.table.near(frame.video_uid, frame.t_sec, config.min_gap)] = False
    return allowed


def _best_rows(searched: SearchedCache, query: np.ndarray, allowed: np.ndarray | None) -> list[tuple[int, float]]:
    if searched.config.index == FAISS:
        found = approximate.ranked(searched.folder, searched.index, query, allowed)
    else:
        found = brute_force.ranked(searched.index.blocks, query, allowed)
    return best_moments(found, searched.table, searched.config.top, searched.config.min_gap)


def _is_sound(searched: SearchedCache, rows) -> bool:
    """Whether the index has the vectors of these rows as they were written; else it is opened anew."""
    part = searched.index.damaged_part(np.asarray(rows, np.int64))
    if part is not None:
        discard(part)
        searched.reopen()
    return part is None


def _duplicates(searched: SearchedCache, rows: np.ndarray) -> Duplicates:
    config, table = searched.config, searched.table
    vectors = searched.index.vectors(rows)
    groups = [table.uids[number] for number in table.video[rows]]

    def frame(number: int) -> Frame:
        row = int(rows[number])
        return Frame(**searched.frames.about(row, *searched.index.place(row)))

    with Progress(2 * len(rows), "comparing frames", "frames") as progress:
        pairs = near_duplicates.near_duplicates(vectors, groups, config.threshold, config.top, progress.update)
        outliers = near_duplicates.outliers(vectors, groups, config.top, progress.update)
    return Duplicates(
        tuple(FramePair(frame(pair.first), frame(pair.second), pair.cosine) for pair in pairs),
        tuple(FramePair(frame(one.row), frame(one.nearest), one.cosine) for one in outliers),
    )
