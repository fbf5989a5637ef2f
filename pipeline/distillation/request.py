"""The request of a distill run, and the steps that follow from it. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.distillation.steps import EVALUATE, EXPORT, EXTRACT, TRAIN, Step


@dataclass(frozen=True)
class Request:
    """What is to be distilled, and where to. given: options of each step, by its name."""

    cache_dir: Path | str
    output_dir: Path
    given: Mapping[str, Mapping[str, object]]
    overwrite: bool = False

    def extraction(self) -> Step:
        return Step(EXTRACT, {**self.given[EXTRACT], "cache_dir": self.cache_dir})

    def training(self, needed: Mapping[str, object]) -> Step:
        """needed: options that suit the label set, unless others are given."""
        return Step(TRAIN, {**needed, **self.given[TRAIN], "cache_dir": self.cache_dir, "output_dir": self.output_dir})

    def evaluation(self, folder: Path, needed: Mapping[str, object]) -> Step:
        places = {"cache_dir": self.cache_dir, "student_checkpoint": folder / BEST_STUDENT, "output_dir": folder}
        return Step(EVALUATE, {**needed, **self.given[EVALUATE], **places})

    def export(self, folder: Path, needed: Mapping[str, object]) -> Step:
        places = {"cache_dir": self.cache_dir, "student_checkpoint": folder / BEST_STUDENT}
        return Step(EXPORT, {**needed, **self.given[EXPORT], **places, "output_dir": folder / "export"})

    def steps(self) -> tuple[Step, ...]:
        """All steps as far as they are known before there is a cache, for one student."""
        return (
            self.extraction(),
            self.training({}),
            self.evaluation(self.output_dir, {}),
            self.export(self.output_dir, {}),
        )
