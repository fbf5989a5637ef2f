"""What a student says of a batch of clips."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class AddedOutput(NamedTuple):
    """Embeddings (B, T, E) and (B, E), unit length, in the space of an added teacher."""

    frame_embeddings: Tensor
    clip_embedding: Tensor


class StudentOutput(NamedTuple):
    """Embeddings (B, T, D) and (B, D), unit length; logits (B, T, C) and (B, C); C is 0 without classes."""

    frame_embeddings: Tensor
    clip_embedding: Tensor
    frame_logits: Tensor
    clip_logits: Tensor

    @property
    def added(self) -> Mapping[str, AddedOutput]:
        """Embeddings in the spaces of added teachers, by their names."""
        return {}


class MultiTeacherOutput(StudentOutput):
    """The output of a student with projections for added teachers."""

    _added: Mapping[str, AddedOutput]

    @classmethod
    def of(cls, output: StudentOutput, added: Mapping[str, AddedOutput]) -> "MultiTeacherOutput":
        made = cls(*output)
        made._added = added
        return made

    @property
    def added(self) -> Mapping[str, AddedOutput]:
        return self._added
