"""What the keystep segments of Ego-Exo4D can be labeled with."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import EGOEXO_ALL_KEYSTEPS, EGOEXO_DESCRIPTIONS, EGOEXO_KEYSTEPS


@dataclass(frozen=True)
class EgoExoKind:
    """One value of --egoexo-labels, which becomes one label set.

    annotation: its name among all kinds of annotations. has_classes: whether segments are labeled with their keysteps.
    is_benchmark: whether only the keysteps of the benchmark count, if there is a list of them.
    """

    annotation: str
    has_classes: bool = True
    is_benchmark: bool = False


KINDS = {
    "keysteps": EgoExoKind(EGOEXO_KEYSTEPS, is_benchmark=True),
    "all-keysteps": EgoExoKind(EGOEXO_ALL_KEYSTEPS),
    "descriptions": EgoExoKind(EGOEXO_DESCRIPTIONS, has_classes=False),
}
