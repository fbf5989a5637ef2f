"""Text term: contrastive loss between the clips of a batch and their texts, whose vectors are the teacher's.

The loss is CLIP's (Radford et al., 2021) for the different texts of a batch: clips with the same text all match it, and
none is a wrong answer. The temperature is fixed, that of EgoVLP's EgoNCE (Lin et al., 2022): CLIP learns its own,
which ends near 0.01 with batches of 32,768 pairs.
"""

from typing import TYPE_CHECKING

from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, Need, WeightOption

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student_output import StudentOutput

TEMPERATURE = 0.05


def text_loss(output: "StudentOutput", targets: "Targets", settings: LossSettings) -> tuple["Tensor"]:
    """The mean over the clips of the batch, of which those without a text count as 0."""
    import torch

    from embedonce.models.contrastive import unchecked_contrastive_loss

    assert targets.texts is not None and targets.text_numbers is not None  # distillation_loss checks it
    rows = targets.rows
    if not len(rows.with_text):
        return (output.clip_embedding.sum() * 0.0,)
    clips, vectors = output.clip_embedding[rows.with_text], targets.texts[rows.with_text]
    texts = vectors.new_empty(rows.num_texts, vectors.shape[1]).index_put((rows.text_of,), vectors)  # equal rows meet
    matches = rows.text_of[:, None] == torch.arange(rows.num_texts, device=rows.text_of.device)
    has_text = (targets.text_numbers >= 0).float()
    return (unchecked_contrastive_loss(clips, texts, matches, 1 / TEMPERATURE) * has_text.mean(),)


TEXT = LossTerm(
    name="text",
    weight=WeightOption("text_weight", 0.0, "Weight of the text term (contrastive loss between clips and texts)."),
    function=text_loss,
    means=(MeanOver.CLIPS,),
    needs=(Need.TEXTS,),
    is_sum_of_clips=False,
)
