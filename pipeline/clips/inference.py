"""Running a student over the clips of a dataset, and gathering what it and the teacher say.

Knows datasets and students; judges nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from embedonce.models.device import exact_float32
from embedonce.pipeline.clips.loader import batches, in_order
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.metrics import accuracy


@dataclass(frozen=True)
class Predictions:
    """What student and teacher say of N clips, in the dataset's order.

    logits, teacher_logits (N, C) (C = 0 where there are none); embeddings, teacher_embeddings (N, D) float32 unit
    length; labels (N,) int64.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    teacher_logits: np.ndarray
    teacher_embeddings: np.ndarray
    labels: np.ndarray

    @property
    def top1(self) -> float | None:
        return accuracy.top_k_accuracy(self.logits, self.labels, 1)

    @property
    def cosine(self) -> float:
        return accuracy.mean_cosine(self.embeddings, self.teacher_embeddings)

    @property
    def is_finite(self) -> bool:
        """Whether the student says numbers at all."""
        return bool(np.isfinite(self.embeddings).all() and np.isfinite(self.logits).all())


def require_finite(found: Predictions, checkpoint: Path) -> None:
    """CheckpointError where a student's answers are no numbers."""
    if not found.is_finite:
        raise CheckpointError(
            f"{checkpoint} answers with values that are no numbers: its training went astray; train again with a "
            "lower --lr"
        )


def among_classes(found: Predictions, known: Sequence[str], classes: Sequence[str]) -> Predictions:
    """With the student's logits of these classes alone, by name and in their order. known: the names it was trained on.

    KeyError where it does not know one.
    """
    column_of = {name: column for column, name in enumerate(known)}
    columns = [column_of[name] for name in classes]
    return replace(found, logits=found.logits[:, columns])


@torch.inference_mode()
def predict(student: nn.Module, dataset: Dataset, batch_size: int, num_workers: int, device) -> Predictions:
    """Run the student, in eval mode, over the whole dataset, in the precision of its weights: as it is deployed."""
    was_training = student.training
    student.eval()
    gathered: dict[str, list[np.ndarray]] = {name: [] for name in Predictions.__dataclass_fields__}
    for batch in batches(dataset, in_order(len(dataset), batch_size), num_workers):
        inputs = [batch[name].to(device) for name in ("frames", "t_rel_sec", "mask")]
        with exact_float32():
            output = student(*inputs)
        mask = batch["mask"].numpy()
        teacher_logits = batch["logits"].numpy() if "logits" in batch else np.zeros((*mask.shape, 0), np.float32)
        gathered["logits"].append(output.clip_logits.float().cpu().numpy())
        gathered["embeddings"].append(output.clip_embedding.float().cpu().numpy())
        gathered["teacher_logits"].append(accuracy.clip_logits(teacher_logits, mask))
        gathered["teacher_embeddings"].append(accuracy.clip_embeddings(batch["embeddings"].numpy(), mask))
        gathered["labels"].append(batch["label"].numpy())
    student.train(was_training)
    return Predictions(**{name: np.concatenate(parts) for name, parts in gathered.items()})
