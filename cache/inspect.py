"""A summary of a cache in a few lines: its teacher, its content, what is missing. Reads documents, and no shards."""

import itertools
from collections import Counter
from collections.abc import Iterator

from embedonce.cache.labels import LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import read_attempts, read_quarantine
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import DEFAULT_VIEW_AREA, CacheIdentity, TeacherIdentity
from embedonce.cache.store import open_reader
from embedonce.cache.stores.registry import Location
from embedonce.cache.withdrawn import withdrawn_videos

SHOWN_CLASSES, SHOWN_PROMPTS = 100, 10  # by prompt_lines(): of each label set, and of each class


def summary(root: Location) -> list[str]:
    """The summary of a cache, line by line. CacheError if it cannot be read."""
    reader, layout = open_reader(root), Layout.at(root)
    identity, teacher = reader.identity, reader.identity.teacher
    plan = reader.plan()
    videos = [video for part in plan for video in part.videos]
    units = [unit for part in plan for unit in part.units]
    num_bytes = sum(record.num_bytes for record in reader.records.values())
    return [
        f"cache {layout.root}, format {identity.format_version}, {identity.backend}",
        f"teacher {_teacher(teacher)}",
        f"frames: {_sampling(identity)}, short side {identity.canonical_short_side} px, "
        f"JPEG quality {identity.jpeg_quality}, "
        f"{identity.num_views} stored views besides the evaluation crop{_areas(identity)}, decoder {identity.decoder}",
        f"videos: {len(videos)} planned, {sum(v.end_sec for v in videos) / 3600:.2f} hours",
        f"shards: {len(reader.records)} of {len(units)} units committed, {reader.num_rows} frames, "
        f"{num_bytes / 1e6:.1f} MB ({num_bytes / 1e3 / max(reader.num_rows, 1):.1f} kB a frame)",
        "requested times: " + ", ".join(f"{count} {status}" for status, count in reader.count_statuses().items()),
        *_label_sets(reader),
        *_added_teachers(reader),
        *_unusable_videos(layout),
        *_withdrawn_videos(layout),
    ]


def prompt_lines(root: Location, label_set: str | None = None) -> list[str]:
    """The prompts of the first classes of a label set, or of all label sets: one line per class and one per prompt.

    CacheError if the cache cannot be read, or has no label set of that name.
    """
    reader = open_reader(root)
    names = reader.label_sets() if label_set is None else (label_set,)
    return [line for name in names for line in _prompts(reader.label_set(name))]


def _prompts(labels: LabelSet) -> Iterator[str]:
    if not labels.prompts:
        yield f"label set {labels.name} ({labels.kind}) has no prompts"
        return
    origin = f", from {labels.facts['prompts_from']}" if "prompts_from" in labels.facts else ""
    count = sum(map(len, labels.prompts))
    yield f"prompts of label set {labels.name}{origin}, {len(labels.classes)} classes, {count} prompts:"
    for cls, texts in itertools.islice(zip(labels.classes, labels.prompts, strict=True), SHOWN_CLASSES):
        yield f"  {cls}"
        yield from (f"    {text}" for text in texts[:SHOWN_PROMPTS])
        if len(texts) > SHOWN_PROMPTS:
            yield f"    … {len(texts) - SHOWN_PROMPTS} more"
    if len(labels.classes) > SHOWN_CLASSES:
        yield f"  … {len(labels.classes) - SHOWN_CLASSES} more classes"


def _teacher(teacher: TeacherIdentity) -> str:
    frames = f"windows of {teacher.window} frames, stride {teacher.window_stride}, " if teacher.window > 1 else ""
    return (
        f"{teacher.name} ({teacher.weights}, {teacher.activation}, sha256 {teacher.weights_sha256[:12]}…), "
        f"{teacher.embed_dim}-d, {frames}input {teacher.input_size} px, "
        f"{teacher.parameters_image / 1e6:.2f} M parameters"
    )


def _sampling(identity: CacheIdentity) -> str:
    if identity.fps is None:
        return "key frames"
    near = "" if identity.snap_tolerance is None else f", key frames within {identity.snap_tolerance:g} s if any"
    return f"{identity.fps:g} fps{near}"


def _areas(identity: CacheIdentity) -> str:
    """The areas of random views, if they are not the usual ones."""
    usual = identity.view_area == DEFAULT_VIEW_AREA
    return "" if usual else f" (of {100 * identity.view_area:g} to 100 % of the frame)"


def _label_sets(reader: CacheReader) -> list[str]:
    lines = []
    for name in reader.label_sets():
        labels = reader.label_set(name)
        splits = ", ".join(f"{n} {split}" for split, n in sorted(Counter(clip.split for clip in labels.clips).items()))
        lines.append(
            f"label set {name} ({labels.kind}): {len(labels.classes)} classes, clips: {splits or 'none'}"
            f"{_logits(reader, labels)}{_texts(reader, name)}"
        )
    return lines


def _logits(reader: CacheReader, labels: LabelSet) -> str:
    if labels.computes_logits:
        return ", logits computed when read"
    done = len(reader.logits_units(labels.name))
    return f", logits of {done} of {len(reader.records)} shards" if labels.has_logits else ""


def _added_teachers(reader: CacheReader) -> list[str]:
    lines = []
    for name in reader.teachers.names():
        teacher, done = reader.teachers.read(name).identity, reader.teachers.records(name)
        size = sum(record.num_bytes for record in done.values())
        total, lacking = len(reader.records), len(reader.teachers.lacking(name))
        lines.append(
            f"added teacher {name}: {_teacher(teacher)}; {total - lacking} of {total} shards embedded, "
            f"{size / 1e6:.1f} MB"
        )
    return lines


def _texts(reader: CacheReader, name: str) -> str:
    texts = reader.texts(name).read()
    return "" if texts is None else f", {len(set(texts.number_of.values()))} texts of {len(texts.number_of)} clips"


def _unusable_videos(layout: Layout) -> list[str]:
    quarantined, attempts = read_quarantine(layout.quarantine), read_attempts(layout.attempts)
    return [
        *(f"quarantined {video.source}: {video.reason}" for video in quarantined.values()),
        *(f"{name} lost {entry.attempts} decode process: {entry.reason}" for name, entry in attempts.items()),
    ]


def _withdrawn_videos(layout: Layout) -> list[str]:
    count = len(withdrawn_videos(layout).names)
    return [f"withdrawn videos: {count}, left out of every extraction"] if count else []
