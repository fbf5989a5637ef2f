"""A miniature Ego4D from end to end: numbers shown in its frames verify that every label is on the right frames."""

import io
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import Status
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.naming.uids import part_uid, recording_of
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.sources.ego4d_miniature.make import make_miniature
from embedonce.pipeline.sources.ego4d_miniature.plan import FPS, TICKS, Miniature, VideoPlan, Window
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import union
from tests.support.fake_teacher import FakeTeacher

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

SAMPLED = 10  # times per second
KINDS = {
    "moments": "moments",
    "fho-verbs": "fho_verbs",
    "fho-nouns": "fho_nouns",
    "lta-verbs": "lta_verbs",
    "lta-nouns": "lta_nouns",
    "oscc": "oscc",
    "goalstep": "goalstep",
    "narrations": "narrations",
}
CASES = [
    pytest.param(("full_scale", "hdf5"), id="full_scale-hdf5", marks=pytest.mark.slow),
    pytest.param(("clips", "webdataset"), id="clips-webdataset"),
    pytest.param(("video_540ss", "webdataset"), id="video_540ss-webdataset", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory):
    """layout -> a miniature, written on first use."""
    made: dict[str, Miniature] = {}

    def get(layout: str) -> Miniature:
        if layout not in made:
            made[layout] = make_miniature(tmp_path_factory.mktemp(layout) / "ego4d", layout)
        return made[layout]

    return get


@pytest.fixture(scope="module", params=CASES)
def extracted(request, miniatures, tmp_path_factory) -> tuple[Miniature, CacheReader]:
    """One cache with the label sets of all kinds; their windows are decoded once."""
    layout, backend = request.param
    miniature = miniatures(layout)
    return miniature, extract_all(miniature.root, tmp_path_factory.mktemp("cache") / "c", backend, tuple(KINDS))


def extract_all(root: Path, cache_dir: Path, backend: str, kinds: tuple[str, ...]) -> CacheReader:
    sources = open_sources(root, Ego4dOptions(annotations=",".join(kinds), clip_splits=True))
    config = ExtractConfig(root, False, cache_dir, backend=backend, fps=float(SAMPLED), shard_frames=64)
    writer, _, _ = extract(config, union(sources), FakeTeacher)
    for kind, source in sources.items():
        write_labels(writer, request_label_set(source, kind, "none"), seed=0)
    writer.close()
    return open_reader(cache_dir)


def shown(video: VideoPlan, first_frame: int, start_sec: float, end_sec: float) -> list[int]:
    """The numbers of the frames shown at the sampled times in [start_sec, end_sec), by exact fractions.

    first_frame: of the file, where the grid of times begins.
    """
    origin, same = Fraction(video.start_pts, TICKS), Fraction(1, 1_000_000)
    first = origin + Fraction(first_frame, FPS)
    ks = range((video.file_frames - first_frame) * SAMPLED // FPS + 1)
    times = (first + Fraction(k, SAMPLED) for k in ks)
    frames = [math.floor((t - origin) * FPS) for t in times if Fraction(start_sec) <= t + same < Fraction(end_sec)]
    hidden = range(*video.redacted_frames) if video.redacted_frames else ()
    return [frame for frame in frames if frame < video.file_frames and frame not in hidden]


def numbers(reader: CacheReader, uid: str, start_sec: float, end_sec: float) -> list[int]:
    """The numbers shown in the cached frames of a window."""
    timeline = reader.timeline(uid)
    window = timeline.window(start_sec, end_sec)
    jpegs = (reader.frames(timeline.unit[i]).jpeg(int(timeline.row[i])) for i in range(window.start, window.stop))
    return [read_number(np.asarray(Image.open(io.BytesIO(jpeg)))) for jpeg in jpegs]


def first_frame_of(miniature: Miniature, uid: str) -> int:
    """The number of the first frame of a cached file."""
    starts = {part_uid(c.video.uid, c.uid): c.start_frame for c in miniature.clips.values() if c.uid}
    return starts.get(uid, 0)


def on_disk(miniature: Miniature, window: Window) -> bool:
    """Whether any file shows the beginning of a window."""
    video = next(v for v in miniature.videos.values() if v.uid == window.video_uid)
    if miniature.layout != "clips" or not video.file_frames:
        return bool(video.file_frames)
    clips = [c for c in miniature.clips.values() if c.video is video and c.file_frames]
    return any(c.uid == window.clip_uid or c.start_sec <= window.start_sec < c.end_sec for c in clips)


@pytest.mark.parametrize("kind", KINDS)
def test_every_label_lands_on_its_frames(extracted, kind):
    miniature, reader = extracted
    videos = {video.uid: video for video in miniature.videos.values()}
    labels = reader.label_set(kind)
    assert labels.clips
    for clip in labels.clips:
        video, first = videos[recording_of(clip.video_uid)], first_frame_of(miniature, clip.video_uid)
        offset = float(Fraction(video.start_pts, TICKS) + Fraction(first, FPS)) if "__" in clip.video_uid else 0.0
        expected = shown(video, first, clip.start_sec + offset, clip.end_sec + offset)
        if clip.video_uid in reader.video_uids:
            assert numbers(reader, clip.video_uid, clip.start_sec, clip.end_sec) == expected, (video.role, clip)


@pytest.mark.parametrize("kind", ["fho-verbs", "fho-nouns", "lta-verbs", "lta-nouns", "oscc", "goalstep"])
def test_clips_equal_the_expected_windows(extracted, kind):
    miniature, reader = extracted
    labels = reader.label_set(kind)
    expected = [w for w in miniature.windows[KINDS[kind]] if on_disk(miniature, w) and (w.name or w.split != "test")]
    cached = [
        (recording_of(c.video_uid), labels.classes[c.label] if c.label >= 0 else None, c.split)
        for c in labels.clips
        if c.label >= 0 or c.split != "test"
    ]
    splits = {v.uid: v.split_fho for v in miniature.videos.values()}
    expected_clips = [(w.video_uid, w.name, w.split or splits[w.video_uid]) for w in expected]
    assert sorted(map(str, cached)) == sorted(map(str, expected_clips))
    if miniature.layout != "clips":
        times = {(w.video_uid, round(w.start_sec, 6), round(w.end_sec, 6)) for w in expected}
        kept = {(c.video_uid, round(c.start_sec, 6), round(c.end_sec, 6)) for c in labels.clips if c.split != "test"}
        assert kept == times


def test_narration_windows_contain_their_points(extracted):
    miniature, reader = extracted
    labels = reader.label_set("narrations")
    not_of_wearer = ("another person", "only unsure")
    points = [w for w in miniature.windows["narrations"] if on_disk(miniature, w) and w.case not in not_of_wearer]
    named = [(labels.classes[c.label] if c.label >= 0 else None, c) for c in labels.clips]
    if miniature.layout == "clips":  # clip files show fewer of them
        assert 0 < len(named) <= len(points)
        return
    assert sorted(str(name) for name, _ in named) == sorted(str(point.name) for point in points)
    for point in points:
        around = [name for name, c in named if c.video_uid == point.video_uid and holds(c, point.start_sec)]
        assert point.name in around


def holds(clip, sec: float) -> bool:
    return clip.start_sec <= sec <= clip.end_sec


def test_redacted_frames_are_never_cached(extracted):
    miniature, reader = extracted
    video = miniature.videos["redacted"]
    uids = [uid for uid in reader.video_uids if recording_of(uid) == video.uid]
    statuses = np.concatenate([s.request_status for uid in uids for _, _, s in reader.segments_of(uid)])
    assert (statuses == Status.REDACTED).sum() >= 10
    for uid in uids:
        shown_numbers = numbers(reader, uid, -math.inf, math.inf)
        assert shown_numbers and not set(shown_numbers) & {0, *range(*video.redacted_frames)} - {
            first_frame_of(miniature, uid)
        }


def test_stereo_frames_show_the_left_eye(extracted):
    miniature, reader = extracted
    video = miniature.videos["stereo"]
    uids = [uid for uid in reader.video_uids if recording_of(uid) == video.uid]
    for uid in uids:
        timeline = reader.timeline(uid)
        image = Image.open(io.BytesIO(reader.frames(timeline.unit[0]).jpeg(int(timeline.row[0]))))
        assert image.size[0] / image.size[1] == pytest.approx(16 / 9, rel=0.02)
        assert max(numbers(reader, uid, -math.inf, math.inf)) < video.num_frames


def test_the_cache_is_valid_and_has_each_frame_once(extracted):
    _, reader = extracted
    assert not verify(reader.cache_dir, canonical_frame.replayed_crc32).problems
    keys = [key for record in reader.records.values() for key in record.keys]
    assert len(keys) == len(set(keys)) == reader.num_rows


@pytest.mark.slow
def test_a_label_set_is_the_same_alone_and_with_other_kinds(miniatures, tmp_path):
    """And the cache of both kinds has every frame of the smaller one."""
    root = miniatures("video_540ss").root
    alone = extract_all(root, tmp_path / "alone", "hdf5", ("lta-verbs",))
    both = extract_all(root, tmp_path / "both", "hdf5", ("lta-verbs", "moments"))
    assert alone.label_set("lta-verbs") == both.label_set("lta-verbs")
    keys = [{key for record in reader.records.values() for key in record.keys} for reader in (alone, both)]
    assert keys[0] < keys[1]
