"""Other distances of embeddings that benchmarks/photos.py compares: right values by hand, and what they do not see."""

import pytest
import torch
from torch.nn.functional import normalize

from benchmarks.feature_distances import TERMS, WEIGHTS, register
from embedonce.models.losses import registry
from embedonce.models.losses.batch import Targets
from embedonce.models.losses.term import LossSettings
from embedonce.models.student_output import StudentOutput

SETTINGS = LossSettings({})


def distance(name: str, student, teacher) -> float:
    """Of clips of one frame each; student, teacher: (B, D)."""
    student, teacher = (torch.tensor(vectors, dtype=torch.float32) for vectors in (student, teacher))
    count = len(teacher)
    targets = Targets(teacher[:, None], None, torch.full((count,), -1), torch.ones(count, 1, dtype=torch.bool))
    nothing = torch.zeros(count, 0)
    output = StudentOutput(student[:, None], student, nothing[:, None], nothing)
    (value,) = TERMS[name](output, targets, SETTINGS)
    return float(value)


@pytest.mark.parametrize("name", TERMS)
def test_equal_directions_are_at_no_distance(name):
    teacher = normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    assert distance(name, (3 * teacher).tolist(), teacher.tolist()) == pytest.approx(0, abs=1e-6)
    moved = teacher.roll(1, 0).tolist()  # each clip where another one should be
    assert distance(name, moved, teacher.tolist()) > 0.1


def test_values_by_hand():
    student, teacher = [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    assert distance("centered", student, teacher) == pytest.approx(4)  # opposite ways from the center
    assert distance("relational", student, teacher) == pytest.approx(0)  # as far from each other
    assert distance("smooth_l1", student, teacher) == pytest.approx(2**0.5 - 0.5)
    collapsed = [[1.0, 0.0], [1.0, 0.0]]  # cosine 1 with each other; the teacher's is -1
    assert distance("relational", collapsed, teacher) == pytest.approx(4)


def test_the_halves_of_the_feature_term_see_clips_and_frames_alone():
    frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # of one clip
    targets = Targets(frames, None, torch.tensor([-1]), torch.ones(1, 2, dtype=torch.bool))
    nothing = torch.zeros(1, 0)
    swapped = StudentOutput(frames.flip(1), torch.tensor([[1.0, 1.0]]), nothing[:, None], nothing)
    halves = [float(TERMS[name](swapped, targets, SETTINGS)[0]) for name in ("clip_distance", "frame_distance")]
    assert halves == pytest.approx([0, 2], abs=1e-6)


def test_a_student_of_the_mean_alone_is_near_but_not_once_centered():
    generator = torch.Generator().manual_seed(0)
    teacher = normalize(torch.randn(64, 16, generator=generator) * 0.3 + 1, dim=1)
    mean = (teacher.mean(0) + 1e-3 * torch.randn(64, 16, generator=generator)).tolist()
    assert distance("smooth_l1", mean, teacher.tolist()) < 0.1
    assert distance("centered", mean, teacher.tolist()) > 1.5


def test_the_terms_are_registered_with_weights_of_zero(monkeypatch):
    monkeypatch.setattr(registry, "_terms", dict(registry._terms))
    register()
    found = {term.weight.name: term.weight.default for term in registry.loss_terms()}
    assert {name: found[name] for name in WEIGHTS} == dict.fromkeys(WEIGHTS, 0.0)
