"""A batch of clips, as training and evaluation receive it from the loader."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from embedonce.models.losses.batch import Rows, Targets
from embedonce.pipeline.clips.teacher_columns import added_embeddings


@dataclass(frozen=True)
class ClipBatch:
    """B clips of up to T frames, padded with zeros.

    frames (B, T, 3, R, R) uint8; embeddings (B, T, D) float32, unit length; mask (B, T) bool, False for padding;
    t_rel_sec (B, T) float32, seconds since the clip's start; labels (B,) int64, -1 for unlabeled clips; indexes (B,)
    int64 in the dataset; logits (B, T, C) float32, None if the label set has no soft logits; multi_hot (B, C) bool,
    None unless the label set has several labels per clip. texts (B, D) float32, text_numbers (B,) int64: see Targets;
    None unless the dataset has texts. added: (B, T, E) float32, unit length, of each added teacher, by name; None
    without any. rows: which rows count, computed before the batch is moved to an accelerator.
    """

    frames: Tensor
    embeddings: Tensor
    mask: Tensor
    t_rel_sec: Tensor
    labels: Tensor
    indexes: Tensor
    logits: Tensor | None = None
    multi_hot: Tensor | None = None
    texts: Tensor | None = None
    text_numbers: Tensor | None = None
    added: Mapping[str, Tensor] | None = None
    rows: Rows | None = None

    @classmethod
    def from_items(cls, batch: Mapping[str, Tensor]) -> "ClipBatch":
        """From collated items of a ClipDataset; KeyError if one of their parts is missing."""
        made = cls(
            frames=batch["frames"],
            embeddings=batch["embeddings"],
            mask=batch["mask"],
            t_rel_sec=batch["t_rel_sec"],
            labels=batch["label"],
            indexes=batch["index"],
            logits=batch.get("logits"),
            multi_hot=batch.get("multi_hot"),
            texts=batch.get("text_vector"),
            text_numbers=batch.get("text_number"),
            added=added_embeddings(batch) or None,
        )
        return dataclasses.replace(made, rows=made.targets.rows)

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device, non_blocking: bool = False) -> "ClipBatch":
        """The batch on a device."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        moved = {name: t.to(device, non_blocking=non_blocking) for name, t in tensors.items()}
        added = {name: t.to(device, non_blocking=non_blocking) for name, t in (self.added or {}).items()}
        rows = None if self.rows is None else self.rows.to(device, non_blocking)
        return dataclasses.replace(self, **moved, added=added or None, rows=rows)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of a student: frames, t_rel_sec and mask."""
        return self.frames, self.t_rel_sec, self.mask

    @property
    def targets(self) -> Targets:
        """What the loss reads."""
        texts = self.texts, self.text_numbers
        own = self.embeddings, self.logits, self.labels, self.mask, self.multi_hot, *texts
        return Targets(*own, added=self.added, known_rows=self.rows)
