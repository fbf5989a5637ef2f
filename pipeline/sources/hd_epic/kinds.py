"""What the clips of HD-EPIC can be labeled with, and the columns and tables that say it."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import HD_EPIC_NARRATIONS, HD_EPIC_NOUNS, HD_EPIC_VERBS


@dataclass(frozen=True)
class HdEpicKind:
    """One value of --hd-epic-labels, which becomes one label set.

    annotation: its name among all kinds of annotations. class_column: holds the ids of all classes of a clip.
    class_table: the file that names the classes. Both are "" without classes.
    """

    annotation: str
    class_column: str = ""
    class_table: str = ""


KINDS = {
    "verbs": HdEpicKind(HD_EPIC_VERBS, "verb_classes", "HD_EPIC_verb_classes.csv"),
    "nouns": HdEpicKind(HD_EPIC_NOUNS, "noun_classes", "HD_EPIC_noun_classes.csv"),
    "narrations": HdEpicKind(HD_EPIC_NARRATIONS),
}
