"""What a contact sheet shows of a cache: clips with frames at equal steps, and times without frames. Opens no shard."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.timelines import VideoTimeline
from embedonce.pipeline.reporting.contact_sheet.gaps import Gap, gaps, requests_of
from embedonce.pipeline.reporting.contact_sheet.sampling import evenly_of_groups, shares, steps, within_bytes

FRAMES_PER_STRIP = 3  # at least, if a cache has them: more clips than this allows are not all shown
MOST_PER_STRIP = 5  # frames of a strip, if there are many strips
FEW_FRAMES = 600  # a sheet of few strips has at least as many


@dataclass(frozen=True)
class Frame:
    """A stored frame. number: its position on the sheet. unit, row: where it is stored. t_sec: the requested time."""

    number: int
    unit: str
    row: int
    t_sec: float


@dataclass(frozen=True)
class Strip:
    """Frames of one clip, or of a whole video without clips, in order of time. num_rows: how many it has.

    clip: None for a whole video, and for gaps of a video that lie in none of its clips (is_outside).
    """

    video_uid: str
    clip: ClipLabel | None
    num_rows: int
    frames: tuple[Frame, ...]
    gaps: tuple[Gap, ...]
    is_outside: bool = False


@dataclass(frozen=True)
class Selection:
    """strips: those of one video one after the other, videos in the given order."""

    strips: tuple[Strip, ...]

    @property
    def frames(self) -> list[Frame]:
        return [frame for strip in self.strips for frame in strip.frames]

    @cached_property
    def by_video(self) -> dict[str, list[Strip]]:
        """uid -> its strips."""
        found: dict[str, list[Strip]] = defaultdict(list)
        for strip in self.strips:
            found[strip.video_uid].append(strip)
        return dict(found)


@dataclass(frozen=True)
class _Window:
    """A part of a video that may be shown: requests [first, stop) of its timeline, num_rows of them readable."""

    video_uid: str
    clip: ClipLabel | None
    first: int
    stop: int
    num_rows: int


def select(
    reader: CacheReader, labels: LabelSet | None, uids: Sequence[str], max_frames: int, read_bytes: int
) -> Selection:
    """At most max_frames frames, evenly over classes, and over the videos within a class.

    uids: all videos, in the order of the sheet. read_bytes: of all shards that frames are taken from, about.
    """
    return _Selector(reader, labels, read_bytes).select(uids, max_frames)


class _Selector:
    def __init__(self, reader: CacheReader, labels: LabelSet | None, read_bytes: int):
        self._reader = reader
        sizes = [(unit, record.num_bytes) for unit, record in sorted(reader.records.items()) if record.num_rows]
        self._units = within_bytes(sizes, read_bytes)
        self._clips: dict[str, list[ClipLabel]] = defaultdict(list)
        for clip in labels.clips if labels is not None else ():
            self._clips[clip.video_uid].append(clip)

    def select(self, uids: Sequence[str], max_frames: int) -> Selection:
        windows = [window for uid in uids for window in self._windows(uid)]
        groups = [_group(window) for window in windows]
        chosen = [windows[i] for i in evenly_of_groups(groups, max(1, max_frames // FRAMES_PER_STRIP))]
        most = max(MOST_PER_STRIP, FEW_FRAMES // max(len(chosen), 1))
        counts = shares([min(window.num_rows, most) for window in chosen], max_frames)
        strips: list[Strip] = []
        number = 0
        for window, count in zip(chosen, counts, strict=True):
            strips.append(self._strip(window, count, number))
            number += len(strips[-1].frames)
        outside = {uid: self._outside(uid) for uid in dict.fromkeys(window.video_uid for window in chosen)}
        return Selection(tuple(_with_outside(strips, outside)))

    def _windows(self, uid: str) -> list[_Window]:
        """The clips of a video that have readable frames, or gaps and no frames; all of the video if there are none."""
        clips = sorted(self._clips[uid], key=lambda clip: (clip.start_sec, clip.end_sec))
        before = np.concatenate([[0], np.cumsum(self._readable(self._reader.timeline(uid)))])
        found = [window for clip in clips if (window := self._window(uid, clip, before))]
        whole = self._window(uid, None, before)
        return found or ([whole] if whole else [])

    def _window(self, uid: str, clip: ClipLabel | None, before: np.ndarray) -> _Window | None:
        """before: (m + 1,) numbers of readable frames before each request."""
        timeline = self._reader.timeline(uid)
        place = slice(0, len(timeline.k)) if clip is None else timeline.window(clip.start_sec, clip.end_sec)
        num_rows = int(before[place.stop] - before[place.start])
        if num_rows or (place.stop <= place.start and self._gaps(uid, clip)):
            return _Window(uid, clip, place.start, place.stop, num_rows)
        return None

    def _readable(self, timeline: VideoTimeline) -> np.ndarray:
        """(m,) bool: whether the frame that answers a request is in one of the shards that are read."""
        if self._units is None:
            return np.ones(len(timeline.k), bool)
        return np.array([unit in self._units for unit in timeline.unit], bool)

    def _strip(self, window: _Window, count: int, number: int) -> Strip:
        timeline, uid = self._reader.timeline(window.video_uid), window.video_uid
        all_places = np.arange(window.first, window.stop)
        places = _distinct(timeline, all_places[self._readable(timeline)[window.first : window.stop]])
        frames = [
            Frame(number + i, str(timeline.unit[place]), int(timeline.row[place]), float(timeline.t_sec[place]))
            for i, place in enumerate(places[steps(len(places), count)])
        ]
        num_rows = len(_distinct(timeline, all_places))
        return Strip(uid, window.clip, num_rows, tuple(frames), tuple(self._gaps(uid, window.clip)))

    def _gaps(self, uid: str, clip: ClipLabel | None) -> list[Gap]:
        """The gaps of a clip, or of a whole video."""
        requests = requests_of(self._reader, uid)
        return gaps(requests, requests.everywhere if clip is None else requests.within(clip))

    def _outside(self, uid: str) -> Strip | None:
        """The gaps of a video that lie in none of its clips, as a strip without frames; None without such gaps."""
        requests, clips = requests_of(self._reader, uid), self._clips[uid]
        if not clips or not requests.status.any():
            return None
        found = gaps(requests, ~np.any([requests.within(clip) for clip in clips], axis=0))
        return Strip(uid, None, 0, (), tuple(found), is_outside=True) if found else None


def _distinct(timeline: VideoTimeline, places: np.ndarray) -> np.ndarray:
    """The first of each run of these requests that the same row answers: (m,) int64 -> (n,)."""
    unit, row = timeline.unit[places], timeline.row[places]
    is_new = np.ones(len(places), bool)
    is_new[1:] = (row[1:] != row[:-1]) | (unit[1:] != unit[:-1])
    return places[is_new]


def _group(window: _Window) -> int:
    """The first class of a clip; -1 without one."""
    return next(iter(window.clip.all_labels), -1) if window.clip else -1


def _with_outside(strips: list[Strip], outside: dict[str, Strip | None]) -> Iterator[Strip]:
    """The strips of each video, and what lies outside of its clips after them."""
    for strip, following in zip(strips, [*strips[1:], None], strict=False):
        yield strip
        last = following is None or following.video_uid != strip.video_uid
        rest = outside[strip.video_uid]
        if last and rest is not None:
            yield rest
