"""The settings of commands that read annotations or class names of a data folder. Imports nothing that computes."""

from embedonce.cache.schema import UID_PATTERN
from embedonce.pipeline.naming.annotation_kinds import FHO_WINDOWS, KIND_NAMES
from embedonce.pipeline.settings.base import Settings


class Annotated(Settings):
    """What settings share that read annotations."""

    @property
    def annotation_kinds(self) -> tuple[str, ...]:
        return tuple(self.annotations.split(",")) if self.annotations else ()

    def _check_annotated(self) -> None:
        kinds = self.annotation_kinds
        known = ", ".join(KIND_NAMES)
        self._require(set(kinds) <= set(KIND_NAMES), "annotations", f"one or more of {known}, with commas between")
        self._require(len(set(kinds)) == len(kinds), "annotations", "different kinds")
        self._one_of("fho_window", FHO_WINDOWS)
        self._positive("max_narration_window")
        named = self.label_set is None or UID_PATTERN.fullmatch(self.label_set)
        self._require(bool(named), "label_set", "letters, digits, _ and -, beginning with a letter or digit")
        single = ("label_set", "classes", "class_names")
        given = [f"--{name.replace('_', '-')}" for name in single if getattr(self, name)]
        if len(kinds) > 1 and given:
            raise ValueError(f"{given[0]} is for one kind of annotations, and --annotations names {len(kinds)}")
        if self.classes and self.class_names:
            raise ValueError("--class-names renames the classes of the data, and --classes names others: leave one out")
