"""Feature term: squared distance between the unit embeddings of student and teacher, for frames and for the clip."""

from typing import TYPE_CHECKING

from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, WeightOption

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student import StudentOutput


def feature_loss(output: "StudentOutput", targets: "Targets", settings: LossSettings) -> tuple["Tensor", "Tensor"]:
    """Means over frames and over clips of 2(1 - cosine): the squared distance, summed over dimensions."""
    from torch.nn.functional import normalize

    from embedonce.models.heads import masked_mean

    teacher = normalize(targets.embeddings.float(), dim=-1)  # (B, T, D)
    clip = normalize(masked_mean(teacher, targets.mask), dim=-1)  # (B, D)
    student = normalize(output.frame_embeddings.float(), dim=-1)
    frames = (student - teacher).square().sum(-1)[targets.mask].mean()
    return frames, (normalize(output.clip_embedding.float(), dim=-1) - clip).square().sum(-1).mean()


FEATURE = LossTerm(
    name="feature",
    weight=WeightOption("alpha", 1.0, "Weight of the feature term (distance of embeddings).", ("feature-weight",)),
    function=feature_loss,
    means=(MeanOver.FRAMES, MeanOver.CLIPS),
)
