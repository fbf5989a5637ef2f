"""Task term: cross-entropy with the labels of clips, or binary cross-entropy if clips have several."""

from typing import TYPE_CHECKING

from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, Need, WeightOption

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student_output import StudentOutput


def task_loss(output: "StudentOutput", targets: "Targets", settings: LossSettings) -> tuple["Tensor"]:
    """Mean over the labeled clips of the batch of cross-entropy times the weight of their class; 0 if it has none.

    The sum is divided by the number of clips, not by the sum of their weights, so that a clip counts the same in every
    batch. Of clips with several labels: the mean over classes of binary cross-entropy, unweighted.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    labeled = targets.rows.labeled
    if not len(labeled):
        return (output.clip_logits.sum() * 0.0,)
    logits = output.clip_logits[labeled].float()
    if targets.multi_hot is not None:
        return (binary_cross_entropy_with_logits(logits, targets.multi_hot[labeled].float()),)
    weights = None
    if settings.class_weights is not None:
        weights = torch.tensor(settings.class_weights).to(logits.device, non_blocking=True)
    return (cross_entropy(logits, targets.labels[labeled], weights, reduction="none").mean(),)


TASK = LossTerm(
    name="task",
    weight=WeightOption("gamma", 0.5, "Weight of the task term (cross-entropy with labels).", ("label-weight",)),
    function=task_loss,
    means=(MeanOver.LABELED_CLIPS,),
    needs=(Need.LABELS,),
)
