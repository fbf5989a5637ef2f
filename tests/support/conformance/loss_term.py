"""Tests that every loss term should pass. Subclass LossTermConformance and set `term`."""

import dataclasses
import math

import pytest
import torch

from embedonce.models.losses.batch import Counts, Targets
from embedonce.models.losses.term import LossSettings, LossTerm, MeanOver, Need
from embedonce.models.student_output import StudentOutput

LENGTHS = torch.tensor([3, 1, 2, 3])  # frames of each clip
LABELS = torch.tensor([2, -1, 0, 1])
TEXT_NUMBERS = torch.tensor([0, 1, -1, 0])


def random_batch(num_classes: int = 4) -> tuple[StudentOutput, Targets]:
    """Outputs, with gradients, and targets of 4 clips of up to 3 frames; one clip is unlabeled, two have padding."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def unit(*shape: int) -> torch.Tensor:
        return torch.nn.functional.normalize(normal(*shape), dim=-1)

    output = StudentOutput(unit(4, 3, 8), unit(4, 8), normal(4, 3, num_classes), normal(4, num_classes))
    mask = torch.arange(3) < LENGTHS[:, None]
    texts = unit(2, 8)[TEXT_NUMBERS]
    targets = Targets(unit(4, 3, 8), 3 * normal(4, 3, num_classes), LABELS, mask, None, texts, TEXT_NUMBERS)
    return StudentOutput(*(tensor.requires_grad_() for tensor in output)), targets


def part_of(output: StudentOutput, targets: Targets, clips: list[int]) -> tuple[StudentOutput, Targets]:
    """The same for some of the clips."""
    values = {field.name: getattr(targets, field.name) for field in dataclasses.fields(Targets)}
    kept = Targets(**{name: None if value is None else value[clips] for name, value in values.items()})
    return StudentOutput(*(tensor[clips] for tensor in output)), kept


class LossTermConformance:
    """Subclass it as Test…, and set `term` to an instance of LossTerm."""

    term: LossTerm

    def means(self, output: StudentOutput, targets: Targets) -> tuple[torch.Tensor, ...]:
        return self.term.function(output, targets, LossSettings({self.term.name: 1.0}))

    def test_it_returns_one_finite_scalar_for_each_of_its_means(self):
        means = self.means(*random_batch())
        assert isinstance(means, tuple) and len(means) == len(self.term.means)
        assert all(mean.shape == () and math.isfinite(mean.item()) for mean in means)

    def test_it_has_a_finite_gradient(self):
        output, targets = random_batch()
        sum(self.means(output, targets)).backward()
        gradients = [tensor.grad for tensor in output if tensor.grad is not None]
        assert any(gradient.abs().sum() > 0 for gradient in gradients)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_padding_has_no_effect(self):
        output, targets = random_batch()
        expected = [mean.item() for mean in self.means(output, targets)]
        with torch.no_grad():
            for tensor in (output.frame_embeddings, output.frame_logits, targets.embeddings, targets.logits):
                tensor[~targets.mask] = 7.0
        assert [mean.item() for mean in self.means(output, targets)] == pytest.approx(expected)

    def test_parts_of_a_batch_weighted_by_their_counts_add_up_to_the_batch(self):
        """So that accumulated batches and several processes give the gradient of one large batch."""
        if not self.term.is_sum_of_clips:
            pytest.skip("the term compares clips of one batch")
        output, targets = random_batch()
        whole = Counts.of(targets)
        sums = [0.0] * len(self.term.means)
        for clips in ([0, 1], [2, 3]):
            part = part_of(output, targets, clips)
            share = Counts.of(part[1]).share_of(whole)
            for place, (unit, mean) in enumerate(zip(self.term.means, self.means(*part), strict=True)):
                sums[place] += share[unit] * mean.item()
        assert sums == pytest.approx([mean.item() for mean in self.means(output, targets)], rel=1e-5)

    def test_it_needs_only_what_it_declares(self):
        needs_classes = bool({Need.TEACHER_LOGITS, Need.LABELS} & set(self.term.needs))
        output, targets = random_batch(num_classes=4 if needs_classes else 0)
        logits = targets.logits if Need.TEACHER_LOGITS in self.term.needs else None
        labels = targets.labels if Need.LABELS in self.term.needs else torch.full_like(targets.labels, -1)
        texts = (targets.texts, targets.text_numbers) if Need.TEXTS in self.term.needs else (None, None)
        means = self.means(output, Targets(targets.embeddings, logits, labels, targets.mask, None, *texts))
        assert all(math.isfinite(mean.item()) for mean in means)

    def test_a_batch_without_labels_is_valid(self):
        output, targets = random_batch()
        unlabeled = dataclasses.replace(targets, labels=torch.full_like(targets.labels, -1))
        means = self.means(output, unlabeled)
        assert all(math.isfinite(mean.item()) for mean in means)
        if set(self.term.means) == {MeanOver.LABELED_CLIPS}:
            assert [mean.item() for mean in means] == [0.0]

    def test_half_precision_outputs_are_accepted(self):
        output, targets = random_batch()
        half = StudentOutput(*(tensor.detach().bfloat16() for tensor in output))
        expected = [mean.item() for mean in self.means(output, targets)]
        assert [mean.item() for mean in self.means(half, targets)] == pytest.approx(expected, rel=0.1, abs=0.02)

    def test_its_option_is_explained_and_not_an_option_of_something_else(self):
        from embedonce import cli
        from embedonce.models.losses.registry import loss_terms

        assert self.term.weight.help.endswith(".")
        weights = {term.weight.name for term in loss_terms()}
        others = [param for param in cli.main.commands["train-student"].params if param.name not in weights]
        assert not {flag for param in others for flag in param.opts} & set(self.term.weight.flags)
