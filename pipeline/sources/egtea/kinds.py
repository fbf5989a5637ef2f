"""What the clips of EGTEA Gaze+ can be labeled with, and where its lists and files of names say it."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import EGTEA_ACTIONS, EGTEA_NOUNS, EGTEA_VERBS


@dataclass(frozen=True)
class EgteaKind:
    """One value of --egtea-labels, which becomes one label set.

    annotation: its name among all kinds of annotations. word: what a class is called in messages. names_file: names
    the classes. numbers: which of the numbers of a line of a list are those of its classes.
    """

    annotation: str
    word: str
    names_file: str
    numbers: slice


KINDS = {
    "actions": EgteaKind(EGTEA_ACTIONS, "action", "action_idx.txt", slice(0, 1)),
    "verbs": EgteaKind(EGTEA_VERBS, "verb", "verb_idx.txt", slice(1, 2)),
    "nouns": EgteaKind(EGTEA_NOUNS, "noun", "noun_idx.txt", slice(2, None)),
}
