"""The three-term distillation loss. Pure torch on tensors; knows no model and no data.

Feature: 2(1 - cos), the squared distance of unit vectors summed over dimensions. Response: KL to the teacher's
softened classes (Hinton et al., 2015), times T^2. Both act on frames and on the clip; task: cross-entropy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from embedonce.models.heads import masked_mean


@dataclass(frozen=True)
class LossWeights:
    """L = alpha * feature + beta * response + gamma * task."""

    alpha: float = 1.0
    beta: float = 0.1
    gamma: float = 0.5
    temperature: float = 4.0


@dataclass(frozen=True)
class Targets:
    """What the teacher and the annotators said of a batch of clips.

    embeddings (B, T, D); logits (B, T, C) or None; labels (B,) int64, -1 where there is none; mask (B, T) bool.
    """

    embeddings: Tensor
    logits: Tensor | None
    labels: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Counts:
    """How many frames, clips and labeled clips a batch or an optimizer step has: what its means are taken over."""

    frames: int
    clips: int
    labeled: int

    @classmethod
    def of(cls, targets: Targets) -> "Counts":
        return cls(int(targets.mask.sum()), len(targets.labels), int((targets.labels >= 0).sum()))

    def share_of(self, step: "Counts") -> "StepShare":
        """What part of an optimizer step this batch is."""
        return StepShare(
            self.frames / step.frames, self.clips / step.clips, self.labeled / step.labeled if step.labeled else 0.0
        )


@dataclass(frozen=True)
class StepShare:
    """A batch's part of the frames, clips and labeled clips of one optimizer step, each from 0 to 1."""

    frames: float = 1.0
    clips: float = 1.0
    labeled: float = 1.0


WHOLE_STEP = StepShare()


def distillation_loss(
    output, targets: Targets, weights: LossWeights, share: StepShare = WHOLE_STEP
) -> dict[str, Tensor]:
    """Scalars: total, feature, response, task. output: a StudentOutput.

    share: where a step has several batches, or several processes, the losses of all of them add up to those of the
    one batch that holds all of their clips. ValueError where a term with a weight lacks its data: it is never left out
    silently. The task term of a batch without labels is 0.
    """
    if weights.beta and targets.logits is None:
        raise ValueError("the response term has a weight (beta) but the batch carries no teacher logits")
    if (weights.beta or weights.gamma) and not output.clip_logits.shape[-1]:
        raise ValueError("the response or task term has a weight (beta, gamma) but the student has no classes")
    zero = output.clip_embedding.sum() * 0.0
    halves = output.clip_embedding.new_tensor([share.frames / 2, share.clips / 2], dtype=torch.float32)
    terms = {
        "feature": (feature_term(output, targets) * halves).sum() if weights.alpha else zero,
        "response": (response_term(output, targets, weights.temperature) * halves).sum() if weights.beta else zero,
        "task": task_term(output.clip_logits, targets.labels) * share.labeled if weights.gamma else zero,
    }
    total = weights.alpha * terms["feature"] + weights.beta * terms["response"] + weights.gamma * terms["task"]
    return {"total": total, **terms}


def feature_term(output, targets: Targets) -> Tensor:
    """(2,) means over frames and over clips of the squared distance between unit vectors, summed over dimensions."""
    teacher = functional.normalize(targets.embeddings.float(), dim=-1)
    clip = functional.normalize(masked_mean(teacher, targets.mask), dim=-1)
    frames = (unit(output.frame_embeddings) - teacher).square().sum(-1)[targets.mask].mean()
    return torch.stack([frames, (unit(output.clip_embedding) - clip).square().sum(-1).mean()])


def response_term(output, targets: Targets, temperature: float) -> Tensor:
    """(2,) means over frames and over clips of KL(teacher || student) at a temperature, over classes, times T^2."""
    teacher = targets.logits.float()
    frames = _kl(output.frame_logits[targets.mask], teacher[targets.mask], temperature)
    return torch.stack([frames, _kl(output.clip_logits, masked_mean(teacher, targets.mask), temperature)])


def task_term(clip_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the labeled clips of the batch; 0 where there is none."""
    labeled = labels >= 0
    if not labeled.any():
        return clip_logits.sum() * 0.0
    return functional.cross_entropy(clip_logits[labeled].float(), labels[labeled])


def unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors.float(), dim=-1)


def _kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    student = functional.log_softmax(student.float() / temperature, -1)
    teacher = functional.log_softmax(teacher / temperature, -1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
