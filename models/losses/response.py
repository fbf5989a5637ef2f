"""Response term: KL divergence to the teacher's softened class probabilities (Hinton et al., 2015).

Where the teacher's logits are those of independent binary classifiers, the probabilities are of each class by itself
(one-versus-all: Yang et al., Multi-Label Knowledge Distillation, ICCV 2023). Zero-shot logits are not: cosines with
texts only rank the classes of a frame, and their sigmoid would be near 1 for all. Their softmax does not depend on a
shift of all logits, so that it goes together with a task term that decides on each class by itself.
"""

from typing import TYPE_CHECKING

from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, Need, WeightOption

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student_output import StudentOutput


def response_loss(output: "StudentOutput", targets: "Targets", settings: LossSettings) -> tuple["Tensor", "Tensor"]:
    """Means over frames and over clips of KL(teacher || student) at the temperature, times its square.

    The teacher's clip logits are the mean of its frame logits.
    """
    from embedonce.models.heads import masked_mean

    assert targets.logits is not None  # distillation_loss checks it
    divergence = binary_divergence if settings.independent_classes else kl_divergence
    teacher, temperature = targets.logits.float(), settings.temperature  # (B, T, C)
    frames = divergence(targets.of_frames(output.frame_logits), targets.of_frames(teacher), temperature)
    return frames, divergence(output.clip_logits, masked_mean(teacher, targets.mask), temperature)


def kl_divergence(student: "Tensor", teacher: "Tensor", temperature: float) -> "Tensor":
    """Mean over rows (N, C) of KL(teacher || student) of logits divided by a temperature, times its square."""
    from torch.nn.functional import kl_div, log_softmax

    student = log_softmax(student.float() / temperature, -1)
    teacher = log_softmax(teacher / temperature, -1)
    return kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def binary_divergence(student: "Tensor", teacher: "Tensor", temperature: float) -> "Tensor":
    """Mean over rows and classes (N, C) of KL(teacher || student) of the sigmoids of logits divided by a temperature,
    times its square."""
    from torch.nn.functional import logsigmoid

    student, teacher = student.float() / temperature, teacher / temperature
    positive = teacher.sigmoid() * (logsigmoid(teacher) - logsigmoid(student))
    negative = (-teacher).sigmoid() * (logsigmoid(-teacher) - logsigmoid(-student))
    return (positive + negative).mean() * temperature**2


RESPONSE = LossTerm(
    name="response",
    weight=WeightOption("beta", 0.1, "Weight of the response term (KL divergence of logits).", ("logit-weight",)),
    function=response_loss,
    means=(MeanOver.FRAMES, MeanOver.CLIPS),
    needs=(Need.TEACHER_LOGITS,),
)
