"""What the clips of EPIC-KITCHENS-100 can be labeled with, and the columns and tables that say it."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import EPIC_NARRATIONS, EPIC_NOUNS, EPIC_VERBS


@dataclass(frozen=True)
class EpicKind:
    """One value of --epic-labels, which becomes one label set.

    annotation: its name among all kinds of annotations. class_column: holds the id of the class; "" without classes.
    word_column: holds the word of the narration that the class stands for. class_tables: the files that may name the
    classes; the first that exists is read.
    """

    annotation: str
    class_column: str = ""
    word_column: str = ""
    class_tables: tuple[str, ...] = ()


KINDS = {
    "verbs": EpicKind(EPIC_VERBS, "verb_class", "verb", ("EPIC_100_verb_classes.csv",)),
    "nouns": EpicKind(EPIC_NOUNS, "noun_class", "noun", ("EPIC_100_noun_classes.csv", "EPIC_100_noun_classes_v2.csv")),
    "narrations": EpicKind(EPIC_NARRATIONS),
}
