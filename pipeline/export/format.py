"""The contract of an export format: which files it writes, how it runs them, and how exact they must be."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.models.deploy import ClipHead, FrameEncoder
from embedonce.models.student import VideoStudent
from embedonce.pipeline.export.facts import ExportFacts, HeldOutFacts
from embedonce.pipeline.export.parity import Limits
from embedonce.pipeline.runtimes.requirements import Requirement

if TYPE_CHECKING:
    from embedonce.pipeline.export.settings import ExportConfig

Call = Callable[..., list[np.ndarray]]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ExportInputs:
    """What a format is written from.

    frame_encoder: (N, 3, R, R) uint8 RGB -> features (N, D) and embeddings (N, D) of unit length.
    clip_head: features (B, T, D), t_rel_sec (B, T) float32 and mask (B, T) bool -> embedding (B, D) and logits (B, C);
    a student without classes has no logits. Logits are divided by the temperature of the facts already.
    facts: settings and class names that travel inside the files. calibration_frames: (N, 3, R, R) uint8.
    """

    frame_encoder: nn.Module
    clip_head: ClipHead
    facts: ExportFacts
    calibration_frames: np.ndarray
    _shared: dict = field(default_factory=dict)

    @classmethod
    def of(cls, student: VideoStudent, facts: ExportFacts, calibration_frames: np.ndarray) -> "ExportInputs":
        return cls(FrameEncoder(student).eval(), ClipHead(student).eval(), facts, calibration_frames)

    @property
    def clip_outputs(self) -> list[str]:
        """The names of what clip_head returns."""
        return ["embedding", "logits"] if self.clip_head.head is not None else ["embedding"]

    @cached_property
    def frame_example(self) -> Tensor:
        """(2, 3, R, R) uint8: with a batch of 1, exporters would take the batch size for a constant."""
        return torch.from_numpy(self.calibration_frames[:1]).repeat(2, 1, 1, 1)

    @cached_property
    def clip_example(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, times and mask of two clips of three frames."""
        with torch.inference_mode():
            features, _ = self.frame_encoder(self.frame_example[:1])
        return features.clone()[:, None].repeat(2, 3, 1), torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """What make returns, computed once for all formats of this export."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


@dataclass(frozen=True)
class RunnableStudent:
    """An exported student that can be run: both calls take and return numpy arrays, as ExportInputs describes them."""

    encode_frames: Call
    head: Call


class ExportFormat(ABC):
    """One way to write a student to files, and an instance for each export.

    Its module must import where the libraries of `requirement` are missing.
    """

    # All files it writes, those in a folder with `/` in their names; the first one is listed in the model card's table
    file_names: ClassVar[tuple[str, ...]]
    limits: ClassVar[Limits]  # how close the files must come to PyTorch
    requirement: ClassVar[Requirement | None] = None  # optional libraries that write and load need
    evaluated_by: ClassVar[str | None] = None  # what `load` runs the files with, if it is not the runtime they are for

    def prepare(self, config: "ExportConfig") -> None:
        """Get ready before anything is computed: what else the format needs, by the settings of the export.

        InputError if it cannot be had.
        """
        return None

    @abstractmethod
    def write(self, inputs: ExportInputs) -> dict[str, bytes]:
        """The content of every file, by file name."""

    @abstractmethod
    def load(self, files: dict[str, bytes]) -> RunnableStudent:
        """The student in these files, ready to run: this is what is compared with PyTorch."""

    def card_paragraphs(self, facts: ExportFacts, held_out: HeldOutFacts) -> tuple[str, ...]:
        """Markdown paragraphs for "How to run it" in the model card; the same paragraph of two formats appears once."""
        return ()

    def next_steps(self, folder: Path) -> tuple[str, ...]:
        """Lines for the end of the command's output: how to use the files. folder: of the export."""
        return ()
