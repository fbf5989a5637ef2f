"""How the points of the map are colored: by class, by the teacher's prediction, or by video. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.cache.labels import LabelSet
from embedonce.pipeline.reporting.contact_sheet.contents import Content
from embedonce.pipeline.reporting.contact_sheet.selection import Selection

NUM_COLORS = 8  # of Okabe and Ito's palette; each has a mark of its own, and occurs filled and hollow
NO_CLASS = "no class"
BY_CLASS, PREDICTED, BY_VIDEO = "class", "the teacher's most likely class", "video"


@dataclass(frozen=True)
class Coloring:
    """by: what the groups are, for a sentence. names, counts: of the groups, as in the legend. groups (N,): of points.

    The last group may be all others together, and the one after it the points without any; both are gray.
    """

    by: str
    names: tuple[str, ...]
    counts: tuple[int, ...]
    groups: tuple[int, ...]
    num_colored: int


def color(
    selection: Selection, contents: Sequence[Content], labels: LabelSet | None, names: dict[str, str]
) -> Coloring:
    """By the first class of each clip; without labels by the teacher's prediction, and without logits by video.

    contents: of the frames of the selection. names: of videos, by uid.
    """
    strips = [strip for strip in selection.strips for _ in strip.frames]
    if labels is not None and any(strip.clip and strip.clip.all_labels for strip in strips):
        classes = [strip.clip.all_labels[0] if strip.clip and strip.clip.all_labels else None for strip in strips]
        return _grouped(BY_CLASS, [None if c is None else labels.classes[c] for c in classes])
    if labels is not None and any(content.guesses for content in contents):
        likely = [content.guesses[0][0] if content.guesses else None for content in contents]
        return _grouped(PREDICTED, [None if c is None else labels.classes[c] for c in likely])
    return _grouped(BY_VIDEO, [names[strip.video_uid] for strip in strips])


def _grouped(by: str, keys: list[str | None]) -> Coloring:
    """The most frequent keys get a color each."""
    counts = Counter(key for key in keys if key is not None)
    order = sorted(counts, key=lambda key: (-counts[key], key))
    most = 2 * NUM_COLORS
    colored, others = order[:most], order[most:]
    place: dict[str | None, int] = {key: i for i, key in enumerate(colored)}
    place.update(dict.fromkeys(others, len(colored)))
    names = [*colored, *([f"{len(others)} others"] if others else [])]
    totals = [counts[key] for key in colored] + ([sum(counts[key] for key in others)] if others else [])
    if None in keys:
        place[None] = len(names)
        names.append(NO_CLASS)
        totals.append(keys.count(None))
    return Coloring(by, tuple(names), tuple(totals), tuple(place[key] for key in keys), len(colored))
