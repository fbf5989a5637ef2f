"""A survey of annotated videos as lines of text."""

from collections import Counter
from collections.abc import Iterator

from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.extraction.annotation_survey import SPLITS, KindSurvey, SplitRule, Survey

CLASSES_SHOWN = 20
VIDEOS_SHOWN = 20


def survey_lines(survey: Survey) -> Iterator[str]:
    """The survey as lines of text."""
    videos = survey.videos
    yield (
        f"videos: {videos.on_disk} on disk ({videos.hours:.2f} hours), {videos.missing} annotated but missing, "
        f"{videos.stereo} stereo (left eye used), {videos.redacted} with {videos.redacted_minutes:.2f} redacted "
        f"minutes (never read), {len(survey.short)} shorter than listed"
    )
    yield from (
        f"  {uid} ends at {real:.1f} s, listed to {listed:.1f} s" for uid, (real, listed) in survey.short.items()
    )
    yield f"{'annotations':<15}{'videos':>8}{'missing':>9}{'train':>9}{'val':>8}{'test':>8}{'classes':>9}{'frames':>10}"
    for kind, counts in survey.kinds.items():
        train, val, test = (counts.clips[split] for split in SPLITS)
        yield (
            f"{kind:<15}{counts.videos:>8}{counts.missing:>9}{train:>9}{val:>8}{test:>8}{len(counts.classes):>9}"
            f"{counts.frames:>10}"
        )
    for kind, counts in survey.kinds.items():
        yield from _kind_lines(kind, counts)
    low, high = survey.num_bytes
    yield (
        f"frames: {survey.frames} at {survey.fps:g} per second, each stored once; space: {in_bytes(low)} to "
        f"{in_bytes(high)} with {survey.views} stored views besides view 0"
    )


def _kind_lines(kind: str, counts: KindSurvey) -> Iterator[str]:
    yield f"{kind}, clips by class (train/val/test): {_describe_classes(counts)}"
    yield from _split_lines(kind, counts.splits)
    if counts.frames:
        share = 100 * counts.shared_frames / counts.frames
        yield f"{kind}: {share:.1f} % of the frames lie in several windows, and may have several classes"
    if counts.without_frame:
        yield f"{kind}: {counts.without_frame} clips contain no sampled time; a higher --fps reaches them"


def _split_lines(kind: str, splits: dict[str, SplitRule]) -> Iterator[str]:
    """How many videos each rule assigned to each split, and the first VIDEOS_SHOWN one by one."""
    counts = Counter((assigned.rule, assigned.split) for assigned in splits.values())
    for (rule, split), count in sorted(counts.items()):
        yield f"{kind}: {count} videos are in {split} by {rule}"
    for uid in list(splits)[:VIDEOS_SHOWN]:
        yield f"  {uid} {splits[uid].split}: {splits[uid].rule}"
    if len(splits) > VIDEOS_SHOWN:
        yield f"  and {len(splits) - VIDEOS_SHOWN} more (--json FILE lists them all)"


def _describe_classes(counts: KindSurvey) -> str:
    """The most frequent classes with their clips in each split, and how many others there are."""
    rows = sorted(counts.classes.items(), key=lambda row: (-row[1][0], -sum(row[1]), row[0]))
    used = [row for row in rows if sum(row[1])]
    shown = ", ".join(f"{name} {train}/{val}/{test}" for name, (train, val, test) in used[:CLASSES_SHOWN])
    more = f", and {len(used) - CLASSES_SHOWN} more" if len(used) > CLASSES_SHOWN else ""
    empty = f"; {len(rows) - len(used)} classes have no clip here" if len(rows) > len(used) else ""
    unlabeled = f"; {counts.unlabeled} clips are unlabeled" if counts.unlabeled else ""
    return f"{shown}{more}{empty}{unlabeled}"
