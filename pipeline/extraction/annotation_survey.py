"""What an Ego4D download offers and what extracting it takes, from its annotations alone: counts, and their words.

Decodes nothing. How long files really are is asked of their headers, in processes of their own.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.engines.engine import EngineOptions, TaskResult
from embedonce.pipeline.engines.registry import DEFAULT_ENGINE, make_engine
from embedonce.pipeline.extraction.video_tasks import LengthTask, read_length
from embedonce.pipeline.frames.sampling_times import Grid
from embedonce.pipeline.frames.time_counts import count_asked, count_empty
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.sources.source import UNLABELED, Source, union, windows_by_video
from embedonce.pipeline.video.announced_length import PARTIAL_SEC

SPLITS = ("train", "val", "test")
# Of a canonical frame: dim, blurred video of the archive's kind, and sharp, noisy test footage (docs/benchmarks.md)
JPEG_BYTES = (20_000, 44_000)
CLASSES_SHOWN = 20
VIDEOS_SHOWN = 20
PROBE_TIMEOUT_SEC = 30.0


def survey(sources: dict[str, Source], fps: float, views: int, embed_dim: int) -> dict:
    """Counts per kind of annotation, and of what they ask for together, as JSON values."""
    everything = union(sources)
    kinds = {kind: _kind(source, fps) for kind, source in sources.items()}
    frames = _frames(everything, fps)[0] if len(kinds) > 1 else next(iter(kinds.values()))["frames"]
    per_frame = (1 + views) * 2 * embed_dim
    videos = everything.videos
    return {
        "kinds": kinds,
        "videos": {
            "on_disk": len({recording_of(video.uid) for video in videos}),
            "missing": len({uid for source in sources.values() for uid in source.missing}),
            "stereo": len({recording_of(video.uid) for video in videos if video.left_eye}),
            "redacted": len({recording_of(video.uid) for video in videos if video.redacted}),
            "redacted_minutes": sum(end - start for v in videos for start, end in v.redacted) / 60,
            "hours": sum(v.listed_sec[1] - v.listed_sec[0] for v in videos if v.listed_sec) / 3600,
        },
        "fps": fps,
        "views": views,
        "frames": frames,
        "bytes": [frames * (size + per_frame) for size in JPEG_BYTES],
    }


def short_videos(source: Source, workers: int) -> dict[str, tuple[float, float]]:
    """Videos whose header says that they end before what describes the data set says: (real, listed) end in seconds."""
    listed = {video.uid: video.listed_sec[1] for video in source.videos if video.listed_sec}
    tasks = [LengthTask(video.uid, video.path) for video in source.videos if video.uid in listed]
    found = {}
    options = EngineOptions(workers, PROBE_TIMEOUT_SEC)
    for event in make_engine(DEFAULT_ENGINE, read_length, options).run(tasks):
        if isinstance(event, TaskResult) and event.value is not None:
            uid = event.task.uid
            if event.value < listed[uid] - PARTIAL_SEC:
                found[uid] = (event.value, listed[uid])
    return dict(sorted(found.items()))


def in_words(document: dict, short: dict[str, tuple[float, float]]) -> Iterator[str]:
    """The survey as lines of text."""
    videos = document["videos"]
    yield (
        f"videos: {videos['on_disk']} on disk ({videos['hours']:.2f} hours), {videos['missing']} annotated ones "
        f"missing, {videos['stereo']} stereo (the left eye is used), {videos['redacted']} with "
        f"{videos['redacted_minutes']:.2f} redacted minutes (never looked at), {len(short)} shorter than listed"
    )
    yield from (f"  {uid} ends at {real:.1f} s, listed to {listed:.1f} s" for uid, (real, listed) in short.items())
    yield f"{'annotations':<15}{'videos':>8}{'missing':>9}{'train':>9}{'val':>8}{'test':>8}{'classes':>9}{'frames':>10}"
    for kind, facts in document["kinds"].items():
        clips = facts["clips"]
        yield (
            f"{kind:<15}{facts['videos']:>8}{facts['missing']:>9}{clips['train']:>9}{clips['val']:>8}{clips['test']:>8}"
            f"{len(facts['classes']):>9}{facts['frames']:>10}"
        )
    for kind, facts in document["kinds"].items():
        yield from _classes_in_words(kind, facts)
        yield from _splits_in_words(kind, facts["splits"])
        if facts["frames"]:
            share = 100 * facts["shared_frames"] / facts["frames"]
            yield f"{kind}: {share:.1f} % of the frames lie in several windows, and may have several classes"
        if facts["without_frame"]:
            yield f"{kind}: {facts['without_frame']} clips hold none of the sampled times; a higher --fps reaches them"
    low, high = document["bytes"]
    yield (
        f"frames: {document['frames']} at {document['fps']:g} per second, each once whatever asks for it; space: "
        f"{in_bytes(low)} to {in_bytes(high)} with {document['views']} stored views besides view 0"
    )


def _kind(source: Source, fps: float) -> dict:
    """Videos, clips, classes and frames of one kind of annotation."""
    by_split = Counter(clip.split for clip in source.clips)
    by_class = Counter((clip.label, clip.split) for clip in source.clips)
    rows = {name: [by_class[label, split] for split in SPLITS] for label, name in enumerate(source.classes)}
    frames, shared_frames = _frames(source, fps)
    extent = {video.uid: video.listed_sec for video in source.videos}
    short = tuple(clip for clip in source.clips if clip.end_sec - clip.start_sec < 1 / fps)  # a longer one holds a time
    in_videos = windows_by_video(replace(source, clips=short))
    return {
        "videos": len({recording_of(video.uid) for video in source.videos}),
        "missing": len(source.missing),
        "clips": {split: by_split[split] for split in SPLITS},
        "unlabelled": sum(clip.label == UNLABELED for clip in source.clips),
        "classes": rows,
        "without_frame": sum(count_empty(Grid(fps, spans), *extent[uid]) for uid, spans in in_videos.items()),
        "frames": frames,
        "shared_frames": shared_frames,
        "splits": {uid: {"split": split, "rule": rule} for uid, split, rule in source.split_rules},
    }


def _frames(source: Source, fps: float) -> tuple[int, int]:
    """How many frames the videos are asked for, and how many of these lie in several windows."""
    windows = windows_by_video(source)
    asked = [
        count_asked(Grid(fps, windows.get(video.uid, ()), video.redacted), *video.listed_sec)
        for video in source.videos
        if video.listed_sec
    ]
    return sum(count for count, _ in asked), sum(shared for _, shared in asked)


def _splits_in_words(kind: str, splits: dict[str, dict[str, str]]) -> Iterator[str]:
    """By which rule videos got their splits: how many by each, and the first VIDEOS_SHOWN one by one."""
    counts = Counter((facts["rule"], facts["split"]) for facts in splits.values())
    for (rule, split), count in sorted(counts.items()):
        yield f"{kind}: {count} videos are in {split} by {rule}"
    for uid in list(splits)[:VIDEOS_SHOWN]:
        yield f"  {uid} {splits[uid]['split']}: {splits[uid]['rule']}"
    if len(splits) > VIDEOS_SHOWN:
        yield f"  and {len(splits) - VIDEOS_SHOWN} more (--json FILE has them all)"


def _classes_in_words(kind: str, facts: dict) -> Iterator[str]:
    """The most frequent classes with their clips in each split, and what the others have."""
    rows = sorted(facts["classes"].items(), key=lambda row: (-row[1][0], -sum(row[1]), row[0]))
    used = [row for row in rows if sum(row[1])]
    shown = ", ".join(f"{name} {train}/{val}/{test}" for name, (train, val, test) in used[:CLASSES_SHOWN])
    more = f", and {len(used) - CLASSES_SHOWN} more" if len(used) > CLASSES_SHOWN else ""
    empty = f"; {len(rows) - len(used)} classes have no clip here" if len(rows) > len(used) else ""
    unlabeled = f"; {facts['unlabelled']} clips are unlabeled" if facts["unlabelled"] else ""
    yield f"{kind}, clips by class (train/val/test): {shown}{more}{empty}{unlabeled}"
