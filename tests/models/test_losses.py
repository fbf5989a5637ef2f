"""Defaults and corner cases of the loss, and the seed of the fitted head. Formulas and masks: test_models."""

import numpy as np
import pytest
import torch

from embedonce.models.fit_head import as_arrays, fit_action_head
from embedonce.models.losses.batch import Counts, Targets
from embedonce.models.losses.registry import loss_settings, loss_terms
from embedonce.models.losses.task import task_loss
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student_output import StudentOutput

pytestmark = pytest.mark.numeric


def test_the_default_weights_are_the_documented_ones():
    weights = {term.weight.name: loss_settings().weights[term.name] for term in loss_terms()}
    assert (
        weights == {"alpha": 1.0, "beta": 0.1, "gamma": 0.5, "text_weight": 0.0} and loss_settings().temperature == 4.0
    )


def test_class_0_is_a_label_and_minus_1_is_not():
    logits = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    expected = float(np.log1p(np.exp(-2.0)))  # the first clip alone
    output = StudentOutput(torch.empty(0), torch.empty(0), torch.empty(0), logits)
    targets = Targets(torch.empty(0), None, torch.tensor([0, -1]), torch.empty(0))
    (loss,) = task_loss(output, targets, loss_settings())
    assert abs(loss.item() - expected) < 1e-6


def clips_of(sizes: list[int]) -> tuple[StudentOutput, Targets]:
    """Random outputs and targets of clips with so many frames each; every third clip is unlabeled."""
    mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    num_clips, num_frames = mask.shape
    output = StudentOutput(
        frame_embeddings=torch.randn(num_clips, num_frames, 8),
        clip_embedding=torch.randn(num_clips, 8),
        frame_logits=torch.randn(num_clips, num_frames, 3),
        clip_logits=torch.randn(num_clips, 3),
    )
    targets = Targets(
        embeddings=torch.randn(num_clips, num_frames, 8),
        logits=torch.randn(num_clips, num_frames, 3),
        labels=torch.tensor([n % 3 - 1 for n in range(num_clips)]),
        mask=mask,
    )
    return output, targets


@pytest.mark.parametrize("term", ["feature", "response", "task", "total"])
def test_the_losses_of_the_batches_of_a_step_add_up_to_that_of_one_batch(term):
    """Batches of different sizes. The optimizer hides a wrong factor: AdamW does not depend on a gradient's scale."""
    torch.manual_seed(0)
    output, targets = clips_of([4, 1, 3, 4, 2])
    whole = distillation_loss(output, targets, loss_settings())[term]
    total = torch.zeros(())
    for rows in (slice(0, 3), slice(3, 5)):
        batch = Targets(targets.embeddings[rows], targets.logits[rows], targets.labels[rows], targets.mask[rows])
        share = Counts.of(batch).share_of(Counts.of(targets))
        total = (
            total
            + distillation_loss(StudentOutput(*(values[rows] for values in output)), batch, loss_settings(), share)[
                term
            ]
        )
    assert whole > 0
    torch.testing.assert_close(total, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.integration
def test_a_fitted_head_depends_on_its_seed_only():
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(np.int64)

    def fitted(seed: int, surroundings: int) -> np.ndarray:
        torch.manual_seed(surroundings)
        return as_arrays(fit_action_head(rows, labels, rows[:8], labels[:8], 2, seed=seed))[0]

    np.testing.assert_array_equal(fitted(1, 10), fitted(1, 11))
    assert (fitted(1, 10) != fitted(2, 10)).any()
