"""Sizes and outputs of students, formulas of the loss terms, and the heads."""

import dataclasses

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

from embedonce.models import device
from embedonce.models.device import choose_device, named_devices
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.fit_head import as_arrays, fit_action_head
from embedonce.models.heads import TEACHER_HEAD_HIDDEN, ActionHead, MeanPool, TemporalAttentionPool, masked_mean
from embedonce.models.losses.batch import Targets
from embedonce.models.losses.registry import loss_settings
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.names import CONVOLUTIONAL_SIZES, PROJECTIONS
from embedonce.models.student import build_student, count_parameters
from embedonce.models.student_config import student_config
from embedonce.models.student_output import StudentOutput
from embedonce.models.trunks import TRUNKS, WIDENED, cut_trunk

BUDGETS = {"tiny": 550_000, "xxs": 1_330_000, "xs": 2_350_000, "s": 5_700_000}
CONVOLUTIONAL_BUDGETS = dict.fromkeys(("lcnet050", "mnv3s050", "mnv4s050"), 550_000) | dict.fromkeys(
    ("lcnet075", "lcnet100", "mnv3s075", "mnv3s100", "mnv4s100", "effvit_b0"), 1_330_000
)


# -- students --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", BUDGETS)
def test_students_have_at_most_their_number_of_parameters(size):
    student = build_student(student_config(size, 512, 119, 128), pretrained=False)
    counted = count_parameters(student)
    assert counted["training"] == sum(p.numel() for p in student.parameters()) <= BUDGETS[size]
    assert counted["training"] > 0.85 * BUDGETS[size]
    if size == "xxs":
        assert 87_850_000 / counted["training"] >= 66  # the promised compression of ViT-B/32


@pytest.mark.parametrize("size", CONVOLUTIONAL_SIZES)
def test_convolutional_students_fit_the_budgets_and_accept_every_resolution(size):
    student = build_student(student_config(size, 512, 119, 128), pretrained=False).eval()
    assert sum(p.numel() for p in student.parameters()) <= CONVOLUTIONAL_BUDGETS[size]
    with torch.inference_mode():
        for resolution in (128, 160, 224):
            images = torch.zeros(1, 3, resolution, resolution)
            assert student.backbone(images).shape == (1, student.backbone.num_features)


@pytest.mark.parametrize("size", CONVOLUTIONAL_SIZES)
def test_trunks_end_with_the_last_feature_map(size):
    torch.manual_seed(0)
    whole = timm.create_model(TRUNKS[size], num_classes=0).eval()
    images = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        pooled = last_map(whole, TRUNKS[size], images).mean((2, 3))
        cut = cut_trunk(whole, TRUNKS[size])
        torch.testing.assert_close(cut(images), pooled)
    assert cut.num_features == pooled.shape[1] < 600


def last_map(whole: torch.nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """The feature map that a trunk ends with: in the middle of the network if its last stage is cut off, too."""
    return whole.blocks[:-1](whole.bn1(whole.conv_stem(images))) if name in WIDENED else whole.forward_features(images)


def test_a_model_without_the_layers_that_are_cut_off_is_refused():
    with pytest.raises(ModelError, match="without the layers that are cut off; pip install -U timm"):
        cut_trunk(timm.create_model("resnet10t", num_classes=0), "resnet10t")


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return build_student(student_config("tiny", 64, 5, 128), pretrained=False).eval()


def batch(clips=2, frames=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (clips, frames, 3, 128, 128), generator=generator, dtype=torch.uint8)
    t_rel_sec = torch.arange(frames).float().expand(clips, frames) * 0.5
    return images, t_rel_sec, torch.ones(clips, frames, dtype=torch.bool)


@torch.inference_mode()
def test_output_shapes_and_unit_lengths(student):
    output = student(*batch())
    assert [tuple(t.shape) for t in output] == [(2, 3, 64), (2, 64), (2, 3, 5), (2, 5)]
    for vectors in (output.frame_embeddings, output.clip_embedding):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))
    assert (output.frame_embeddings < 0).float().mean() > 0.2  # nothing rectifies the projection's end


@torch.inference_mode()
@pytest.mark.numeric
def test_padding_does_not_change_clip_outputs(student):
    frames, t_rel_sec, _ = batch()
    mask = torch.tensor([[True, True, False]] * 2)
    base = student(frames, t_rel_sec, mask)
    frames[:, 2], t_rel_sec[:, 2] = 255 - frames[:, 2], 99.0
    changed = student(frames, t_rel_sec, mask)
    torch.testing.assert_close(changed.clip_logits, base.clip_logits)
    torch.testing.assert_close(changed.clip_embedding, base.clip_embedding)
    unmasked = student(frames, t_rel_sec, torch.ones_like(mask))
    assert (unmasked.clip_embedding - base.clip_embedding).abs().max() > 1e-4


@torch.inference_mode()
def test_clip_outputs_depend_on_frame_times_not_positions(student):
    frames, t_rel_sec, mask = batch()
    base = student(frames, t_rel_sec, mask)
    backwards = student(frames.flip(1), t_rel_sec, mask)
    moved = student(frames.flip(1), t_rel_sec.flip(1), mask)
    assert (backwards.clip_embedding - base.clip_embedding).abs().max() > 1e-4  # opening is not closing
    torch.testing.assert_close(moved.clip_embedding, base.clip_embedding)


def test_a_student_without_classes_has_empty_logits():
    student = build_student(student_config("tiny", 64, 0, 128), pretrained=False).eval()
    output = student(*batch())
    assert output.clip_logits.shape == (2, 0) and output.frame_logits.shape == (2, 3, 0)
    assert "head" not in count_parameters(student)


@pytest.mark.parametrize(("size", "resolution"), [("xxs", 100), ("xxs", 200), ("xxs", 288)])
def test_invalid_student_options_are_refused(size, resolution):
    with pytest.raises(ModelOptionError, match=str(resolution) if size == "xxs" else size):
        student_config(size, 512, 10, resolution)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("xss", "neither one of tiny, xxs, xs, s, lcnet050, .* nor a timm model; did you mean "),
        ("vit_tiny_patch16_224", "does not accept images of 128 pixels; its input size is 224"),
    ],
)
def test_unusable_timm_backbones_are_refused(size, message):
    with pytest.raises(ModelOptionError, match=message):
        build_student(student_config(size, 16, 3, 128), pretrained=False)


def test_any_timm_backbone_can_be_chosen_by_name():
    student = build_student(student_config("mobilenetv3_small_050", 16, 3, 128), pretrained=False).eval()
    output = student(torch.zeros(1, 2, 3, 128, 128), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert output.clip_embedding.shape == (1, 16) and output.clip_logits.shape == (1, 3)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_every_projection_outputs_the_teachers_dimension(projection):
    student = build_student(student_config("tiny", 16, 3, 128, projection), pretrained=False).eval()
    frames = student.projection(5 * torch.randn(50, student.backbone.num_features)).detach()
    assert frames.shape == (50, 16)
    assert (frames < -0.2).any() == (projection != "linear-norm-gelu")  # GELU never goes below -0.17
    with pytest.raises(ModelOptionError, match="--projection must be one of"):
        student_config("tiny", 16, 3, 128, "cubic")


def test_the_error_for_missing_imagenet_weights_has_a_remedy(monkeypatch):
    with pytest.raises(ModelOptionError, match=r"tiny; use --no-student-pretrained"):
        build_student(student_config("tiny", 512, 10, 128), pretrained=True)
    import timm

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"mobilevit_xxs could not be downloaded.*--no-student-pretrained"):
        build_student(student_config("xxs", 512, 10, 128), pretrained=True)


def test_an_unavailable_device_is_refused():
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ModelOptionError, match=r"--device \w+ is not available.*cpu"):
        choose_device("mps" if not torch.backends.mps.is_available() else "cuda")


@pytest.fixture
def gpus(monkeypatch):
    """A function that makes torch see so many GPUs."""

    def see(count: int) -> None:
        monkeypatch.setitem(device._DEVICES, "cuda", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


@pytest.mark.parametrize(
    "count, text, expected",
    [
        (0, "cpu", ["cpu"]),
        (1, "auto", ["cuda"]),
        (1, "cuda", ["cuda"]),
        (1, "cuda:0", ["cuda:0"]),
        (3, "auto", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda:1", ["cuda:1"]),
        (3, "cuda:2,0", ["cuda:2", "cuda:0"]),
        (3, "cpu", ["cpu"]),
    ],
)
def test_a_name_stands_for_these_devices(gpus, count, text, expected):
    gpus(count)
    assert named_devices(text) == expected and choose_device(text) == torch.device(expected[0])


@pytest.mark.parametrize(
    "count, text, message",
    [
        (0, "cuda", "--device cuda is not available on this machine; it has cpu"),
        (0, "cuda:0", "--device cuda:0 is not available on this machine; it has cpu"),
        (2, "cuda:7", "--device cuda:7 is not available on this machine; it has cuda:0, cuda:1, cpu"),
        (2, "cuda:1,2", "--device cuda:2 is not available on this machine; it has cuda:0, cuda:1, cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused_and_the_others_are_named(gpus, monkeypatch, count, text, message):
    monkeypatch.setitem(device._DEVICES, "mps", lambda: False)
    gpus(count)
    with pytest.raises(ModelOptionError, match=f"^{message}$"):
        named_devices(text)


# -- heads -----------------------------------------------------------------------------------------------------------


def test_the_fitted_head_has_the_documented_layers():
    layers = [m for m in ActionHead(512, TEACHER_HEAD_HIDDEN, 7) if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [(512, 512), (512, 256), (256, 7)]


def test_pooling_has_four_heads_of_the_rank_in_total():
    pool = TemporalAttentionPool(512, 32)
    assert pool.qkv.out_features == 96 and pool.num_heads == 4
    out = pool(torch.randn(2, 5, 512), torch.rand(2, 5), torch.ones(2, 5, dtype=torch.bool))
    assert out.shape == (2, 512)


def test_pooling_by_the_mean_has_no_parameters_and_ignores_times():
    frames, mask = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True, True, False, False, False]])
    pool = MeanPool()
    assert not list(pool.parameters())
    assert torch.equal(pool(frames, torch.rand(2, 5), mask), masked_mean(frames, mask))


def test_masked_mean_ignores_padding():
    frames = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(frames, torch.tensor([[True, True, False]])).item() == 2.0


@pytest.mark.numeric
@pytest.mark.integration
def test_a_fitted_head_takes_raw_embeddings_and_is_deterministic():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 600)
    centers = generator.standard_normal((3, 16)) * 0.02
    common = generator.standard_normal(16) * 3  # a random teacher's images share almost everything
    rows = (common + centers[labels] + generator.standard_normal((600, 16)) * 0.01).astype(np.float32)
    heads = [fit_action_head(rows[:400], labels[:400], rows[400:500], labels[400:500], 3, seed=1) for _ in range(2)]
    for a, b in zip(*map(as_arrays, heads), strict=True):
        np.testing.assert_array_equal(a, b)
    with torch.inference_mode():
        accuracy = (heads[0](torch.from_numpy(rows[500:])).argmax(1).numpy() == labels[500:]).mean()
    assert accuracy > 0.9
    unheld = fit_action_head(rows[:400], labels[:400], rows[:0], labels[:0], 3, seed=1)
    assert as_arrays(unheld)[0].shape == (512, 16)


# -- losses ----------------------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(teacher, student, temperature):
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return (p * np.log(p / q)).sum(-1).mean() * temperature**2


@pytest.fixture
def case():
    generator = np.random.default_rng(0)

    def array(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    output = StudentOutput(
        *map(torch.from_numpy, (unit(array(2, 3, 8)), unit(array(2, 8)), array(2, 3, 4), array(2, 4)))
    )
    mask = np.array([[True, True, True], [True, False, False]])
    targets = Targets(*map(torch.from_numpy, (array(2, 3, 8) * 5, array(2, 3, 4) * 3, np.array([2, -1]), mask)))
    return output, targets


def numbers(case, **weights):
    return {k: v.item() for k, v in distillation_loss(*case, loss_settings(**weights)).items()}


@pytest.mark.numeric
def test_every_term_matches_its_formula(case):
    output = StudentOutput(*(tensor.numpy() for tensor in case[0]))
    targets = Targets(**{name: tensor.numpy() for name, tensor in vars(case[1]).items() if tensor is not None})
    rows = [(0, 0), (0, 1), (0, 2), (1, 0)]
    teacher = targets.embeddings / np.linalg.norm(targets.embeddings, axis=-1, keepdims=True)
    clip = np.stack([teacher[0].mean(0), teacher[1, 0]])
    clip /= np.linalg.norm(clip, axis=-1, keepdims=True)
    frames = np.mean([2 - 2 * output.frame_embeddings[r] @ teacher[r] for r in rows])
    feature = (frames + np.mean(2 - 2 * (output.clip_embedding * clip).sum(-1))) / 2
    clip_logits = np.stack([targets.logits[0].mean(0), targets.logits[1, 0]])
    per_frame = kl(*(np.stack([x[r] for r in rows]) for x in (targets.logits, output.frame_logits)), 3.0)
    response = (per_frame + kl(clip_logits, output.clip_logits, 3.0)) / 2
    task = -np.log(softmax(output.clip_logits[0])[2])
    got = numbers(case, alpha=2.0, beta=0.7, gamma=0.3, temperature=3.0)
    expected = {"feature": feature, "response": response, "task": task}
    assert {k: got[k] for k in expected} == pytest.approx(expected, rel=1e-5)
    assert got["total"] == pytest.approx(2 * feature + 0.7 * response + 0.3 * task, rel=1e-5)


def test_the_response_term_is_scaled_by_the_squared_temperature(case):
    """At high T, T^2 * KL tends to a constant; without the square it would vanish."""
    assert numbers(case, temperature=200.0)["response"] == pytest.approx(
        numbers(case, temperature=100.0)["response"], rel=0.05
    )


@pytest.mark.integration
def test_the_loss_pulls_the_student_towards_the_teacher():
    generator = torch.Generator().manual_seed(0)
    free = [torch.randn(s, generator=generator, requires_grad=True) for s in ((2, 3, 8), (2, 8), (2, 3, 4), (2, 4))]
    teacher, logits = torch.randn(2, 3, 8, generator=generator), torch.randn(2, 3, 4, generator=generator)
    targets = Targets(teacher, logits, torch.tensor([1, 3]), torch.ones(2, 3, dtype=torch.bool))
    optimizer = torch.optim.Adam(free, lr=0.05)
    for _ in range(400):
        output = StudentOutput(functional.normalize(free[0], dim=-1), functional.normalize(free[1], dim=-1), *free[2:])
        loss = distillation_loss(output, targets, loss_settings(gamma=0.0))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cosine = functional.cosine_similarity(free[0], teacher, dim=-1)
    assert cosine.min() > 0.99
    torch.testing.assert_close(free[2].softmax(-1), logits.softmax(-1), atol=0.03, rtol=0)


def test_padding_does_not_change_the_loss(case):
    output, targets = case
    base = numbers(case)
    targets.embeddings[1, 1:] = 77.0
    targets.logits[1, 1:] = -55.0
    output.frame_logits[1, 1:] = 9.0
    output.frame_embeddings[1, 1:] = -output.frame_embeddings[1, 1:]
    assert numbers(case) == pytest.approx(base)


def test_a_term_without_its_data_is_an_error(case):
    output, targets = case
    with pytest.raises(ValueError, match="beta"):
        numbers((output, dataclasses.replace(targets, logits=None)))
    bare = output._replace(frame_logits=output.frame_logits[..., :0], clip_logits=output.clip_logits[..., :0])
    with pytest.raises(ValueError, match="no classes"):
        numbers((bare, targets), beta=0.0)
    assert numbers((bare, dataclasses.replace(targets, logits=None)), beta=0.0, gamma=0.0)["feature"] > 0


def test_a_batch_without_labels_has_no_task_loss(case):
    output, targets = case
    unlabeled = dataclasses.replace(targets, labels=torch.tensor([-1, -1]))
    assert numbers((output, unlabeled))["task"] == 0.0
