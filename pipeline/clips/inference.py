"""Running a student over the clips of a dataset, and collecting its outputs and the teacher's."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from embedonce.models.device import exact_float32
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import Workers, batches, in_order
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.metrics import accuracy
from embedonce.pipeline.metrics.average_precision import mean_average_precision


@dataclass(frozen=True)
class Predictions:
    """Outputs of student and teacher for N clips, in the dataset's order.

    logits, teacher_logits (N, C), C = 0 without classes; embeddings, teacher_embeddings (N, D) float32, unit length;
    labels (N,) int64, -1 for unlabeled clips. multi_hot (N, C) bool: the classes of each clip, in label sets with
    several labels per clip, whose labels are all -1; else None. added_cosines: teacher -> mean cosine of the student's
    embeddings in its space with its own, for added teachers that both the student and the dataset have.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    teacher_logits: np.ndarray
    teacher_embeddings: np.ndarray
    labels: np.ndarray
    multi_hot: np.ndarray | None = None
    added_cosines: Mapping[str, float] = field(default_factory=dict)

    @property
    def labeled(self) -> np.ndarray:
        """(N,) bool: whether a clip has a label."""
        return self.labels >= 0 if self.multi_hot is None else np.any(self.multi_hot, axis=1)

    @property
    def targets(self) -> np.ndarray:
        """(N, C) bool: the classes of each clip."""
        if self.multi_hot is not None:
            return self.multi_hot
        return self.labels[:, None] == np.arange(self.logits.shape[1])

    @property
    def mean_average_precision(self) -> float | None:
        """The student's, over classes with clips; None unless clips have several labels."""
        return None if self.multi_hot is None else mean_average_precision(self.logits, self.multi_hot)

    @property
    def top1(self) -> float | None:
        """The student's top-1 accuracy; None without labeled clips."""
        return accuracy.top_k_accuracy(self.logits, self.labels, 1)

    @property
    def mean_class_accuracy(self) -> float | None:
        """Mean of the student's top-1 accuracies of the classes that have clips; None without labeled clips."""
        return accuracy.mean_class_accuracy(self.logits, self.labels)

    @property
    def cosine(self) -> float:
        """Mean cosine similarity of the student's and the teacher's embeddings."""
        return accuracy.mean_cosine(self.embeddings, self.teacher_embeddings)

    @property
    def is_finite(self) -> bool:
        """Whether the student's outputs hold no NaN and no infinity."""
        return bool(np.isfinite(self.embeddings).all() and np.isfinite(self.logits).all())


def require_finite(predictions: Predictions, checkpoint: Path) -> None:
    """CheckpointError if the student's outputs are NaN or infinite."""
    if not predictions.is_finite:
        raise diverged(checkpoint)


def diverged(checkpoint: Path) -> CheckpointError:
    """The error of a student whose outputs are NaN or infinite."""
    return CheckpointError(
        f"{checkpoint}: model outputs are NaN or infinite, because training diverged; train again with a lower --lr"
    )


def among_classes(predictions: Predictions, known: Sequence[str], classes: Sequence[str]) -> Predictions:
    """The predictions with the student's logits for these classes only, matched by name.

    known: the classes the student was trained on. KeyError if one of the classes is not among them.
    """
    column_of = {name: column for column, name in enumerate(known)}
    columns = [column_of[name] for name in classes]
    return replace(predictions, logits=predictions.logits[:, columns])


@torch.inference_mode()
def predict(
    student: nn.Module, dataset: ClipDataset, batch_size: int, workers: Workers | int, device: torch.device
) -> Predictions:
    """Run the student in eval mode over the whole dataset, in exact float32 (as deployed). workers: see batches()."""
    was_training = student.training
    student.eval()
    gathered: dict[str, list[np.ndarray]] = defaultdict(list)
    cosines: dict[str, list[np.ndarray]] = defaultdict(list)
    for items in batches(dataset, in_order(len(dataset), batch_size), workers):
        batch = ClipBatch.from_items(items)
        with exact_float32():
            output = student(*(tensor.to(device) for tensor in batch.inputs))
        mask = batch.mask.numpy()
        teacher_logits = np.zeros((*mask.shape, 0), np.float32) if batch.logits is None else batch.logits.numpy()
        gathered["logits"].append(output.clip_logits.float().cpu().numpy())
        gathered["embeddings"].append(output.clip_embedding.float().cpu().numpy())
        gathered["teacher_logits"].append(accuracy.clip_logits(teacher_logits, mask))
        gathered["teacher_embeddings"].append(accuracy.clip_embeddings(batch.embeddings.numpy(), mask))
        gathered["labels"].append(batch.labels.numpy())
        for name, vectors in (batch.added or {}).items():
            if name in getattr(output, "added", ()):
                clips = output.added[name].clip_embedding.float().cpu().numpy()
                cosines[name].append((clips * accuracy.clip_embeddings(vectors.numpy(), mask)).sum(1))
        if batch.multi_hot is not None:
            gathered["multi_hot"].append(batch.multi_hot.numpy())
    student.train(was_training)
    added = {name: float(np.concatenate(parts).mean()) for name, parts in cosines.items()}
    return Predictions(**{name: np.concatenate(parts) for name, parts in gathered.items()}, added_cosines=added)
