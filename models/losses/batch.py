"""What the loss reads of a batch besides the student's output, and what part of an optimizer step a batch is."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from embedonce.models.losses.term import MeanOver


@dataclass(frozen=True)
class Rows:
    """Which rows of a batch the loss reads, as int64 indexes.

    A loss term that selects by these never waits for an accelerator: how many they are is known without asking it,
    which is not so for a bool mask. frames (N,): of (B T), without padding. labeled (M,): clips with a label.
    with_text (P,): clips with a text. text_of (P,): for each of these, its text among the num_texts different ones.
    """

    frames: Tensor
    labeled: Tensor
    with_text: Tensor
    text_of: Tensor
    num_texts: int

    @classmethod
    def of(cls, mask: Tensor, labeled: Tensor, text_numbers: Tensor | None) -> "Rows":
        """Those of a batch; its mask, labeled clips and text_numbers are as in Targets."""
        if text_numbers is None:
            text_numbers = torch.full_like(labeled, -1, dtype=torch.int64)
        with_text = _indexes(text_numbers >= 0)
        different, text_of = torch.unique(text_numbers[with_text], return_inverse=True)
        return cls(_indexes(mask), _indexes(labeled), with_text, text_of, len(different))

    def to(self, device: torch.device, non_blocking: bool = False) -> "Rows":
        """The indexes on a device."""
        frames, labeled, with_text, text_of = (
            tensor.to(device, non_blocking=non_blocking)
            for tensor in (self.frames, self.labeled, self.with_text, self.text_of)
        )
        return Rows(frames, labeled, with_text, text_of, self.num_texts)


@dataclass(frozen=True)
class Targets:
    """Targets of a batch of clips from the teacher and from annotators.

    embeddings (B, T, D); logits (B, T, C) or None; labels (B,) int64, -1 for unlabeled clips; mask (B, T) bool, False
    for padding. multi_hot (B, C) bool: the classes of each clip, in label sets with several labels per clip, whose
    labels are all -1; else None. texts (B, D) vectors of the clips' texts, and text_numbers (B,) int64, equal for equal
    texts and -1 for clips without one; None if no term needs them. added: (B, T, E) embeddings by each added teacher,
    by name; None without any. known_rows: those of this batch, if they are computed already.
    """

    embeddings: Tensor
    logits: Tensor | None
    labels: Tensor
    mask: Tensor
    multi_hot: Tensor | None = None
    texts: Tensor | None = None
    text_numbers: Tensor | None = None
    added: Mapping[str, Tensor] | None = None
    known_rows: Rows | None = None

    @property
    def rows(self) -> Rows:
        """Which rows count. If they are not known, they are computed, for which an accelerator is waited for."""
        return self.known_rows or Rows.of(self.mask, self.labeled, self.text_numbers)

    def of_frames(self, values: Tensor) -> Tensor:
        """(B, T, …) -> (N, …): the rows of frames that are not padding."""
        return values.flatten(0, 1)[self.rows.frames]

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
        rows = targets.rows
        return cls(len(rows.frames), len(targets.labels), len(rows.labeled))

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


def _indexes(chosen: Tensor) -> Tensor:
    """Indexes of the true elements of a bool tensor, flattened."""
    return chosen.flatten().nonzero().squeeze(1)
