"""Other distances between the embeddings of student and teacher, as loss terms of benchmarks/photos.py and ablate.py.

Each is of a clip's embedding unless its name says frames, and has a weight option of its own, 0 unless a condition sets
it. clip_distance and frame_distance are the two halves of the feature term.
"""

from torch import Tensor
from torch.nn.functional import normalize, smooth_l1_loss

from embedonce.models.heads import masked_mean
from embedonce.models.losses import registry
from embedonce.models.losses.batch import Targets
from embedonce.models.losses.feature import feature_loss
from embedonce.models.losses.term import LossFunction, LossSettings, LossTerm, MeanOver, WeightOption
from embedonce.models.student_output import StudentOutput


def clip_vectors(output: StudentOutput, targets: Targets) -> tuple[Tensor, Tensor]:
    """Unit vectors of the batch's clips, (B, D) each, of the student and of the teacher."""
    of_frames = normalize(targets.embeddings.float(), dim=-1)
    teacher = normalize(masked_mean(of_frames, targets.mask), dim=-1)
    return normalize(output.clip_embedding.float(), dim=-1), teacher


def centered_vectors(output: StudentOutput, targets: Targets) -> tuple[Tensor, Tensor]:
    """The same, without the mean of the teacher's vectors of this batch, and of length 1 again."""
    student, teacher = clip_vectors(output, targets)
    center = teacher.mean(0)
    return normalize(student - center, dim=-1), normalize(teacher - center, dim=-1)


def smooth_l1(output: StudentOutput, targets: Targets, settings: LossSettings) -> tuple[Tensor]:
    """Smooth L1 distance (Girshick, Fast R-CNN, 2015) of vectors whose elements have a mean square of 1."""
    student, teacher = clip_vectors(output, targets)
    scale = teacher.shape[1] ** 0.5
    return (smooth_l1_loss(scale * student, scale * teacher),)


def centered(output: StudentOutput, targets: Targets, settings: LossSettings) -> tuple[Tensor]:
    """Squared distance of the centered vectors: 2(1 - centered cosine)."""
    student, teacher = centered_vectors(output, targets)
    return ((student - teacher).square().sum(-1).mean(),)


def relational(output: StudentOutput, targets: Targets, settings: LossSettings) -> tuple[Tensor]:
    """Squared differences of the centered cosines between clips, summed over a clip's batch.

    That is, as in Tung and Mori, Similarity-Preserving Knowledge Distillation, 2019, but for centering.
    """
    student, teacher = centered_vectors(output, targets)
    return ((student @ student.T - teacher @ teacher.T).square().sum(-1).mean(),)


def clip_distance(output: StudentOutput, targets: Targets, settings: LossSettings) -> tuple[Tensor]:
    """The feature term of clips alone."""
    return (feature_loss(output, targets, settings)[1],)


def frame_distance(output: StudentOutput, targets: Targets, settings: LossSettings) -> tuple[Tensor]:
    """The feature term of frames alone."""
    return (feature_loss(output, targets, settings)[0],)


TERMS: dict[str, LossFunction] = {
    "smooth_l1": smooth_l1,
    "centered": centered,
    "relational": relational,
    "clip_distance": clip_distance,
    "frame_distance": frame_distance,
}
WEIGHTS = {f"{name}_weight" for name in TERMS}  # options


def register() -> None:
    """Add the terms to all trainings of this process."""
    known = {term.name for term in registry.loss_terms()}
    for name, function in TERMS.items():
        if name not in known:
            option = WeightOption(f"{name}_weight", 0.0, f"Weight of the {name} term.")
            over = MeanOver.FRAMES if name == "frame_distance" else MeanOver.CLIPS
            registry.register(LossTerm(name, option, function, (over,), is_sum_of_clips=False))
