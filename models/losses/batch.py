"""What the loss reads of a batch besides the student's output, and what part of an optimizer step a batch is."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from embedonce.models.losses.term import MeanOver


@dataclass(frozen=True)
class Targets:
    """Targets of a batch of clips from the teacher and from annotators.

    embeddings (B, T, D); logits (B, T, C) or None; labels (B,) int64, -1 for unlabeled clips; mask (B, T) bool, False
    for padding. multi_hot (B, C) bool: the classes of each clip, in label sets with several labels per clip, whose
    labels are all -1; else None. texts (B, D) vectors of the clips' texts, and text_numbers (B,) int64, equal for equal
    texts and -1 for clips without one; None if no term needs them. added: (B, T, E) embeddings by each added teacher,
    by name; None without any.
    """

    embeddings: Tensor
    logits: Tensor | None
    labels: Tensor
    mask: Tensor
    multi_hot: Tensor | None = None
    texts: Tensor | None = None
    text_numbers: Tensor | None = None
    added: Mapping[str, Tensor] | None = None

    @property
    def labeled(self) -> Tensor:
        """(B,) bool: whether a clip has a label."""
        return self.labels >= 0 if self.multi_hot is None else self.multi_hot.any(1)


@dataclass(frozen=True)
class Counts:
    """Numbers of frames, clips and labeled clips in a batch, an optimizer step or an epoch."""

    frames: int
    clips: int
    labeled: int

    @classmethod
    def of(cls, targets: Targets) -> "Counts":
        return cls(int(targets.mask.sum()), len(targets.labels), int(targets.labeled.sum()))

    def __getitem__(self, unit: MeanOver) -> int:
        return getattr(self, unit.value)

    def share_of(self, step: "Counts") -> "StepShare":
        """This batch's share of an optimizer step."""
        return StepShare(
            self.frames / step.frames, self.clips / step.clips, self.labeled / step.labeled if step.labeled else 0.0
        )


@dataclass(frozen=True)
class StepShare:
    """A batch's share of the frames, clips and labeled clips of one optimizer step, each from 0 to 1."""

    frames: float = 1.0
    clips: float = 1.0
    labeled: float = 1.0

    def __getitem__(self, unit: MeanOver) -> float:
        return getattr(self, unit.value)


WHOLE_STEP = StepShare()
