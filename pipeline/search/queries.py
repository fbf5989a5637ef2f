"""What is searched for, as a vector: a text, an image, a stored frame or a class."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from embedonce.cache.errors import StorageError
from embedonce.cache.labels import ZERO_SHOT
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC, CacheIdentity, Status
from embedonce.cache.text_store import StoredVectors
from embedonce.cache.timelines import shown_seconds
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.images.decoding import decode_image
from embedonce.pipeline.naming.near_misses import with_near_misses
from embedonce.pipeline.search.rows import RowTable
from embedonce.pipeline.search.settings import SearchConfig
from embedonce.pipeline.search.stored_vectors import StoredTexts
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import Teacher, TextHead, TextTeacher, long_texts
from embedonce.pipeline.video.container import VideoError

log = logging.getLogger(__name__)

LoadTeacher = Callable[[], Teacher]


@dataclass(frozen=True)
class StoredFrame:
    """The frame of a video that is shown at a time: its row in the index."""

    video_uid: str
    t_sec: float
    row: int


def class_vector(reader: CacheReader, label_set: str | None, name: str) -> np.ndarray:
    """(D,) float32 of a class of a zero-shot label set. InputError if there is no such class."""
    labels = reader.label_set(label_set)
    if labels.kind != ZERO_SHOT:
        raise InputError(
            f"--class-name: label set {labels.name!r} has no vectors of its classes, because its logits are "
            f"{labels.kind}; give --text, or a zero-shot --label-set"
        )
    if name not in labels.classes:
        raise InputError(f"label set {labels.name!r} has no class {with_near_misses([name], labels.classes)}")
    head = reader.head(labels.name)
    assert head is not None  # that of a zero-shot label set
    return unit(head["class_text"][labels.classes.index(name)])


def text_vector(reader: CacheReader, text: str, stored: StoredTexts, load_teacher: LoadTeacher) -> np.ndarray:
    """(D,) float32 of a text: one that the cache or an earlier search has stored, else by the teacher's text tower.

    InputError if the teacher has none.
    """
    found = stored.find(text)
    if found is None:
        found = StoredVectors(map(reader.texts, reader.label_sets())).find([text]).get(text)
    if found is None:
        found = _embedded_text(reader.identity.teacher.name, text, load_teacher)
        try:
            stored.add(text, found)
        except StorageError as error:
            log.warning("the vector of the text is not kept for later searches: %s", error)
    return unit(found)


def _embedded_text(name: str, text: str, load_teacher: LoadTeacher) -> np.ndarray:
    teacher = load_teacher() if loader_of(name).has_text_tower else None
    if not isinstance(teacher, TextTeacher):
        raise InputError(
            f"the teacher {name} of this cache has no text tower, which --text needs: give --image FILE, or --video "
            "UID with --time SEC"
        )
    if (long := long_texts(teacher, [[text]])).count:
        log.warning("--text is longer than the %d tokens that the teacher reads, and its end is cut off", long.context)
    return TextHead(*teacher.class_text([[text]])).class_text[0]


def image_frame(config: SearchConfig, identity: CacheIdentity) -> bytes:
    """The image as a JPEG in the form in which frames of videos are stored. InputError if it cannot be read."""
    assert config.image is not None
    try:
        pixels, orientation, _ = decode_image(config.image)
        height, width = pixels.shape[1::-1] if orientation.swaps_sides else pixels.shape[:2]
        size = canonical_frame.canonical_size(height, width, identity.canonical_short_side)
    except (VideoError, ValueError) as error:
        raise InputError(f"--image {config.image} cannot be used: {error}") from error
    height, width = canonical_frame.before_rotation(size, orientation.rotation)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return canonical_frame.encode_canonical(resized, orientation.rotation, identity.jpeg_quality, orientation.mirrored)


def evaluation_view(jpeg: bytes, identity: CacheIdentity) -> np.ndarray:
    """(6,) int32: the view of a stored frame that the teacher's own preprocessing would take."""
    image = canonical_frame.decode_jpeg(jpeg, identity.canonical_short_side)
    return make_views("", (image.height, image.width), 0, identity.view_seed, identity.teacher)[0]


def image_vector(jpeg: bytes, identity: CacheIdentity, teacher: Teacher) -> np.ndarray:
    """(D,) float32 of an image in the form of stored frames."""
    crops = canonical_frame.replay(jpeg, evaluation_view(jpeg, identity)[None], identity.teacher.input_size)
    return unit(teacher.embed(crops)[0])


def stored_frame(reader: CacheReader, table: RowTable, video: str, time: float) -> StoredFrame:
    """The frame that a video, given by its uid or path, shows at a time. InputError if there is none."""
    uid = _uid_of(reader, table, video)
    rows = table.of_video(uid)
    times = table.t_sec[rows]
    end = max(_end_of(reader, uid), float(times[-1]))
    if not times[0] <= time <= end:
        raise InputError(
            f"--time {time:g} is outside of video {video}, whose frames in the cache are from {times[0]:.1f} to "
            f"{end:.1f} s"
        )
    if (status := _status_at(reader, uid, time)) != Status.OK:
        raise InputError(f"video {video} has no frame at --time {time:g}: it is {status.name.lower()} there")
    number = int(np.searchsorted(times, time, side="right")) - 1
    return StoredFrame(uid, float(times[number]), int(rows[number]))


def _status_at(reader: CacheReader, uid: str, time: float) -> Status:
    """The status of the last requested time that is not after a time; OK before the first one."""
    asked, status = -np.inf, Status.OK
    for _, _, segment in reader.segments_of(uid):
        t_sec = shown_seconds(segment, reader.identity)
        earlier = np.flatnonzero((t_sec <= time + TIME_TOLERANCE_SEC) & (t_sec > asked))
        if len(earlier):
            last = earlier[t_sec[earlier].argmax()]
            asked, status = t_sec[last], Status(segment.request_status[last])
    return status


def _uid_of(reader: CacheReader, table: RowTable, video: str) -> str:
    if video in table.uids:
        return video
    uid_of = {planned.source: planned.uid for part in reader.plan() for planned in part.videos}
    if uid_of.get(video) in table.uids:
        return uid_of[video]
    known = [*table.uids, *(source for source, uid in uid_of.items() if uid in table.uids)]
    raise InputError(f"{reader.cache_dir} has no video {with_near_misses([video], known)}")


def _end_of(reader: CacheReader, uid: str) -> float:
    """When a video ends, in seconds; -inf if the plan does not say so."""
    return next((video.end_sec for part in reader.plan() for video in part.videos if video.uid == uid), -np.inf)


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector as float32 of length 1."""
    vector = vector.astype(np.float32)
    return vector / np.linalg.norm(vector)
