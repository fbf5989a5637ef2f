"""Muon makes updates of matrices nearly orthogonal, leaves the rest to AdamW, and continues exactly."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from embedonce.models.losses.registry import loss_settings
from embedonce.models.names import ADAMW, MUON
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.muon import MATRIX_LR, MOMENTUM, Muon, is_matrix, orthogonalized
from embedonce.pipeline.training.optimizer_choice import DEFAULTS, OptimizerChoice, choose_optimizer
from embedonce.pipeline.training.optimizers import new_optimizer
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun

LR, DECAY = 0.01, 0.1


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 9, 5))


def set_gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [one.detach().clone() for one in network.parameters()]


def test_matrices_are_linear_layers_and_kernels_that_mix_channels(network):
    found = {name for name, one in network.named_parameters() if is_matrix(one)}
    assert found == {"0.weight", "3.weight", "5.weight"}
    assert not is_matrix(torch.zeros(1, 5))


@pytest.mark.parametrize("shape", [(4, 4), (3, 40), (40, 3), (16, 144)])
def test_singular_values_end_near_one_whatever_they_were(shape):
    torch.manual_seed(1)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-3, 1.0, 1e4])[:, None, None]
    found = torch.linalg.svdvals(orthogonalized(matrices))
    assert found.min() > 0.3 and found.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    cosine = nn.functional.cosine_similarity(orthogonalized(matrices).flatten(1), (left @ right).flatten(1))
    assert cosine.min() > 0.95  # the directions of the orthogonal factor, not only its values


def test_a_matrix_of_zeros_stays_zeros():
    assert not orthogonalized(torch.zeros(2, 3, 5)).any()


def test_a_step_of_a_matrix_is_decay_and_an_orthogonal_update(network):
    before = weights(network)
    set_gradients(network, 2)
    gradient = network[5].weight.grad.clone()
    new_optimizer(network, OptimizerChoice(MUON, LR, DECAY)).step()
    momentum = gradient * ((1 - MOMENTUM) * (1 + MOMENTUM))
    # (5, 144): no more rows than columns, so the update is not scaled up
    expected = before[-2] * (1 - MATRIX_LR * LR * DECAY) - MATRIX_LR * LR * orthogonalized(momentum[None])[0]
    torch.testing.assert_close(network[5].weight.detach(), expected)


def test_later_steps_look_ahead_along_the_average_of_gradients(network):
    """Nesterov's momentum: the average of all gradients, mixed with the last one."""
    optimizer = new_optimizer(network, OptimizerChoice(MUON, LR, 0.0))
    gradients = []
    for seed in (2, 3):
        before = network[5].weight.detach().clone()
        set_gradients(network, seed)
        gradients.append(network[5].weight.grad.clone())
        optimizer.step()
    first, second = gradients
    average = (1 - MOMENTUM) * (MOMENTUM * first + second)
    ahead = (1 - MOMENTUM) * second + MOMENTUM * average
    expected = before - MATRIX_LR * LR * orthogonalized(ahead[None])[0]
    torch.testing.assert_close(network[5].weight.detach(), expected)


def test_a_tall_matrix_moves_further_by_the_root_of_its_ratio(network):
    before = network[3].weight.detach().clone()
    set_gradients(network, 2)
    new_optimizer(network, OptimizerChoice(MUON, LR, 0.0)).step()
    moved = torch.linalg.svdvals((network[3].weight.detach() - before).flatten(1)) / (MATRIX_LR * LR)  # (16, 8)
    assert moved.max() < 1.3 * 2**0.5 and moved.mean() > 0.8 * 2**0.5


def test_matrices_of_one_shape_are_updated_as_if_each_were_alone():
    torch.manual_seed(3)
    pair = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False))
    alone = [copy.deepcopy(one) for one in pair]
    set_gradients(pair, 4)
    for one, other in zip(alone, pair, strict=True):
        one.weight.grad = other.weight.grad.clone()
        new_optimizer(one, OptimizerChoice(MUON, LR, DECAY)).step()
    new_optimizer(pair, OptimizerChoice(MUON, LR, DECAY)).step()
    for one, other in zip(alone, pair, strict=True):
        torch.testing.assert_close(one.weight, other.weight)


def test_everything_else_is_updated_as_by_adamw(network):
    other = copy.deepcopy(network)
    for model, name in ((network, MUON), (other, ADAMW)):
        optimizer = new_optimizer(model, OptimizerChoice(name, LR, DECAY))
        for seed in range(3):
            set_gradients(model, seed)
            optimizer.step()
    for (name, mine), theirs in zip(network.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs) != is_matrix(mine), name


def test_a_continued_run_takes_the_same_steps(network):
    optimizer = new_optimizer(network, OptimizerChoice(MUON, LR, DECAY))
    for seed in range(3):
        set_gradients(network, seed)
        optimizer.step()
    other = copy.deepcopy(network)
    continued = new_optimizer(other, OptimizerChoice(MUON, LR, DECAY))
    continued.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, one in ((network, optimizer), (other, continued)):
        for seed in range(3, 6):
            set_gradients(model, seed)
            one.step()
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_logged_learning_rate_is_that_of_the_option(network):
    for name in (MUON, ADAMW):
        assert new_optimizer(network, OptimizerChoice(name, LR, DECAY)).param_groups[0]["lr"] == LR


def test_parameters_without_a_gradient_stay(network):
    before = weights(network)
    new_optimizer(network, OptimizerChoice(MUON, LR, DECAY)).step()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(before, weights(network), strict=True))


def test_the_optimizer_follows_the_option(tmp_path):
    for options, expected in (
        ({"student_size": "tiny"}, MUON),
        ({"student_size": "xxs"}, ADAMW),  # starts from pretrained weights
        ({"student_size": "xxs", "student_pretrained": False}, MUON),
        ({"student_size": "xxs", "optimizer": MUON}, MUON),
        ({"student_size": "tiny", "optimizer": ADAMW}, ADAMW),
    ):
        config = TrainConfig(tmp_path / "c", tmp_path / "o", frames_per_clip=1, student_resolution=128, **options)
        student = build_student(student_config("tiny", 8, 2, 128), pretrained=False)
        student.config = dataclasses.replace(student.config, size=config.student_size)
        run = StudentRun(student, config, loss_settings(), World(), 10)
        assert isinstance(run.optimizer, Muon) == (expected == MUON), options
        assert run.optimizer.param_groups[0]["weight_decay"] == DEFAULTS[expected].weight_decay


def test_given_values_replace_those_of_the_optimizer():
    assert choose_optimizer(None, None, None, pretrained=False) == DEFAULTS[MUON]
    assert choose_optimizer(None, None, None, pretrained=True) == DEFAULTS[ADAMW]
    assert choose_optimizer(MUON, 0.5, 0.0, pretrained=True) == OptimizerChoice(MUON, 0.5, 0.0)
    assert choose_optimizer(None, 0.5, None, pretrained=True) == OptimizerChoice(
        ADAMW, 0.5, DEFAULTS[ADAMW].weight_decay
    )
