"""Feature term: squared distance between the unit embeddings of student and teacher, for frames and for the clip.

With several teachers, the mean of their distances, weighted by their shares; over frames, of those teachers only that
embed single frames.
"""

from typing import TYPE_CHECKING

from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, WeightOption

if TYPE_CHECKING:
    from torch import Tensor

    from embedonce.models.losses.batch import Targets
    from embedonce.models.student_output import AddedOutput, StudentOutput


def feature_loss(output: "StudentOutput", targets: "Targets", settings: LossSettings) -> tuple["Tensor", "Tensor"]:
    """Means over frames and over clips of 2(1 - cosine): the squared distance, summed over dimensions."""
    frames, clips = _distances(output, targets.embeddings, targets)
    shares, added = settings.teacher_shares, targets.added
    if not shares:
        return frames, clips
    assert added is not None  # the dataset has the embeddings of all teachers with a share
    rest = 1 - sum(shares.values())
    of_frames = rest + sum(share for name, share in shares.items() if name not in settings.window_teachers)
    frames, clips = rest / of_frames * frames, rest * clips
    for name, share in shares.items():
        own_frames, own_clips = _distances(output.added[name], added[name], targets)
        clips = clips + share * own_clips
        if name not in settings.window_teachers:
            frames = frames + share / of_frames * own_frames
    return frames, clips


def _distances(
    student: "StudentOutput | AddedOutput", embeddings: "Tensor", targets: "Targets"
) -> tuple["Tensor", "Tensor"]:
    """Means over frames and over clips, to the embeddings of one teacher, (B, T, D)."""
    from torch.nn.functional import normalize

    from embedonce.models.heads import masked_mean

    teacher = normalize(embeddings.float(), dim=-1)  # (B, T, D)
    clip = normalize(masked_mean(teacher, targets.mask), dim=-1)  # (B, D)
    frame_embeddings = normalize(student.frame_embeddings.float(), dim=-1)
    frames = targets.of_frames((frame_embeddings - teacher).square().sum(-1)).mean()
    return frames, (normalize(student.clip_embedding.float(), dim=-1) - clip).square().sum(-1).mean()


FEATURE = LossTerm(
    name="feature",
    weight=WeightOption("alpha", 1.0, "Weight of the feature term (distance of embeddings).", ("feature-weight",)),
    function=feature_loss,
    means=(MeanOver.FRAMES, MeanOver.CLIPS),
)
