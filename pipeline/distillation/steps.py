"""The steps of distill: the commands that it runs, and the options that each of them gets. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from embedonce.pipeline.console.next_commands import command, option_words
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import Option, declared_options
from embedonce.pipeline.training.settings import TrainConfig

EXTRACT, TRAIN, EVALUATE, EXPORT = "extract-teacher", "train-student", "evaluate", "export-student"
SETTINGS: dict[str, type[Settings]] = {
    EXTRACT: ExtractConfig,
    TRAIN: TrainConfig,
    EVALUATE: EvaluateConfig,
    EXPORT: ExportConfig,
}
DECIDED = ("cache_dir", "output_dir", "student_checkpoint", "overwrite", "part")  # by distill, for all steps
# Options of distill that it hands to one step, and those that several steps have
_OF_TRAINING = ("student_size", "student_resolution", "student_pretrained", "frames_per_clip", "epochs")
_OF_EXPORT = ("formats",)
_SHARED = {"device": (EXTRACT, TRAIN, EVALUATE), "seed": tuple(SETTINGS), "num_workers": (TRAIN, EVALUATE)}
# Options of extract-teacher that few need: they are set in its section of the file of --config
_IN_SECTION = (
    *("batch_size", "shard_frames", "canonical_short_side", "jpeg_quality", "video_timeout", "snap_tolerance"),
    *("decoder", "engine", "ray_address", "ray_workers", "teacher_processes", "backend"),
)


class DistillOptions(Settings):
    """The options of distill; those of sources that are registered later included."""

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        extraction = declared_options(ExtractConfig)
        left_out = {*DECIDED, *_SHARED, *_IN_SECTION}
        own = [option for option in extraction if option.name not in left_out]
        own += [option for option in declared_options(TrainConfig) if option.name in _OF_TRAINING]
        own += [option for option in declared_options(ExportConfig) if option.name in _OF_EXPORT]
        return (*own, *_SHARED_OPTIONS)


_SHARED_OPTIONS = (
    dataclasses.replace(shared.DEVICE, name="device"),
    dataclasses.replace(shared.SEED, name="seed", value_type=int),
    dataclasses.replace(shared.NUM_WORKERS, name="num_workers", value_type=int),
)


def by_step(given: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Options of distill, name -> value, as options of each step."""
    steps: dict[str, dict[str, object]] = {name: {} for name in SETTINGS}
    for name, value in given.items():
        for step in _takers(name):
            steps[step][name] = value
    return steps


def _takers(name: str) -> tuple[str, ...]:
    if name in _SHARED:
        return _SHARED[name]
    if name in _OF_TRAINING:
        return (TRAIN,)
    return (EXPORT,) if name in _OF_EXPORT else (EXTRACT,)


@dataclass(frozen=True)
class Step:
    """One command of a distillation. options: name -> value, of those that are not left at their default."""

    name: str
    options: Mapping[str, object]

    @property
    def words(self) -> list[str]:
        """The words after the name of the command, as it gets them."""
        return option_words(self._spelled())

    @property
    def line(self) -> str:
        """The command as it can be pasted into a shell."""
        return command(self.name, self._spelled())

    def _spelled(self) -> dict[str, object]:
        """The options, with `no_` before switches that are on by default or undecided, and are turned off."""
        flags = {option.name: option.default for option in declared_options(SETTINGS[self.name])}
        off = {name for name, value in self.options.items() if value is False and flags.get(name) is not False}
        return {f"no_{name}" if name in off else name: name in off or v for name, v in self.options.items()}
