"""What a loss term declares: its name, its weight option, the data it needs and its function.

Imports no torch, because `train-student --help` reads the options of all terms.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student_output import StudentOutput

MAX_WEIGHT = 1e6
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Need(Enum):
    """Data that not every label set has. A term that needs logits or labels also needs a student with classes."""

    TEACHER_LOGITS = "soft logits"
    LABELS = "labels of training clips"
    TEXTS = "text vectors of training clips"


class MeanOver(Enum):
    """What a mean of a term is taken over. Values are fields of Counts and StepShare."""

    FRAMES = "frames"
    CLIPS = "clips"
    LABELED_CLIPS = "labeled"


@dataclass(frozen=True)
class WeightOption:
    """The option of train-student that sets the weight of a term.

    name: field of the settings and key of --config files, such as "alpha" for --alpha. aliases: other spellings of the
    option, without dashes in front.
    """

    name: str
    default: float
    help: str
    aliases: tuple[str, ...] = ()

    def __post_init__(self):
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"weight option {self.name!r} must be lower-case letters, digits and underscores")
        if not 0 <= self.default <= MAX_WEIGHT:
            raise ValueError(f"default of weight option {self.name!r} must be from 0 to {MAX_WEIGHT:g}")

    @property
    def flags(self) -> tuple[str, ...]:
        """The option as it is written on the command line, then its aliases."""
        return tuple("--" + name.replace("_", "-") for name in (self.name, *self.aliases))


@dataclass(frozen=True)
class LossSettings:
    """weights: the factor of each registered term, by the term's name. temperature: of softened classes.

    class_weights: for each class, the factor of the task term of its clips, with mean 1 over the training clips; None:
    all 1. independent_classes: whether the teacher's logits are of one binary classifier per class, so that their
    sigmoid is distilled; else their softmax is. teacher_shares: of the feature term, the share of each added teacher,
    by name; the rest is that of the first one. window_teachers: names of those of them that embed windows of frames, so
    that only their embeddings of clips are learned.
    """

    weights: Mapping[str, float]
    temperature: float = 4.0
    class_weights: tuple[float, ...] | None = None
    independent_classes: bool = False
    teacher_shares: Mapping[str, float] = field(default_factory=dict)
    window_teachers: frozenset[str] = frozenset()


LossFunction = Callable[["StudentOutput", "Targets", LossSettings], tuple["Tensor", ...]]


@dataclass(frozen=True)
class LossTerm:
    """One term of the training loss.

    name: column in train_log.csv. means: what `function` averages over. function: returns one scalar tensor for each of
    `means`; the term is their mean. The trainer scales each by its batch's share of the optimizer step, so that
    accumulated batches and several processes give the gradient of one large batch. is_sum_of_clips: False for a term
    that compares clips with each other, which is only with those of the same batch and process.
    """

    name: str
    weight: WeightOption
    function: LossFunction
    means: tuple[MeanOver, ...]
    needs: tuple[Need, ...] = ()
    is_sum_of_clips: bool = True

    def __post_init__(self):
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"loss term {self.name!r} must be named by lower-case letters, digits and underscores")
        if not self.means:
            raise ValueError(f"loss term {self.name!r} must state what its means are taken over")

    @property
    def logged_over(self) -> MeanOver:
        """What the term's value in the training log is averaged over."""
        return self.means[-1]
