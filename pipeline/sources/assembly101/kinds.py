"""What the clips of Assembly101 can be labeled with, and the columns of its tables that say it."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import ASSEMBLY_ACTIONS, ASSEMBLY_NOUNS, ASSEMBLY_VERBS


@dataclass(frozen=True)
class AssemblyKind:
    """One value of --assembly101-labels, which becomes one label set.

    annotation: its name among all kinds of annotations. class_column, name_column: hold the number and the name of the
    class.
    """

    annotation: str
    class_column: str
    name_column: str


KINDS = {
    "actions": AssemblyKind(ASSEMBLY_ACTIONS, "action_id", "action_cls"),
    "verbs": AssemblyKind(ASSEMBLY_VERBS, "verb_id", "verb_cls"),
    "nouns": AssemblyKind(ASSEMBLY_NOUNS, "noun_id", "noun_cls"),
}
