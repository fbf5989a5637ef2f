"""What a label set takes from its teacher: the scale and bias of zero-shot logits, or a fitted head."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache.heads import logits_from
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.prompt_files import read_prompts
from embedonce.pipeline.labeling.requests import chosen_head, possible_head, request_label_set
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source
from embedonce.pipeline.teachers.teacher import TextHead
from tests.support.fake_teacher import DIM, FakeTeacher


def source(label: int = 0) -> Source:
    clip = Clip("a-0", "a", 0.0, 1.0, label, "train")
    return Source(Path("videos"), "folder", (), (clip,), ("cutting bread", "stirring a pot"))


class Sigmoid(FakeTeacher):
    def class_text(self, prompts):
        return TextHead(super().class_text(prompts)[0], 117.0, -12.5)


class WithoutText:
    identity = FakeTeacher().identity


def test_logits_of_a_sigmoid_teacher_have_its_bias():
    request = with_class_text(request_label_set(source(), "", None), Sigmoid())
    tensors = safetensors.numpy.load(request.tensors)
    embeddings = np.eye(1, DIM, dtype=np.float32)[None]
    expected = 117 * embeddings @ tensors["class_text"].T - 12.5
    np.testing.assert_allclose(logits_from(tensors, embeddings), expected, rtol=1e-5)
    assert (request.labels.logit_scale, request.labels.logit_bias) == (117.0, -12.5)


def test_teachers_without_a_bias_store_none():
    request = with_class_text(request_label_set(source(), "", None), FakeTeacher())
    assert sorted(safetensors.numpy.load(request.tensors)) == ["class_text", "logit_scale"]
    assert request.labels.logit_bias is None


@pytest.mark.parametrize(
    ("label", "name", "kind", "said"),
    [
        (0, None, "fitted", "soft logits come from a head that is fitted to the labels"),
        (0, "mine", "fitted", "soft logits come from a head that is fitted to the labels"),
        (UNLABELED, None, "none", "no clip has a label to fit a head to: embeddings only"),
    ],
)
def test_a_teacher_without_a_text_tower_gets_a_fitted_head_unless_it_has_no_labels(label, name, kind, said, caplog):
    caplog.set_level("INFO")
    labels = with_class_text(request_label_set(source(label), "", None, name), WithoutText()).labels
    assert (labels.kind, labels.name, labels.prompts, labels.facts) == (kind, name or kind, (), {})
    assert f"the teacher fake has no text tower{':' if label == 0 else ', and'}" in caplog.text and said in caplog.text


def test_chosen_zero_shot_logits_need_a_text_tower():
    with pytest.raises(InputError, match="the teacher fake has no text tower, which zero-shot logits need"):
        with_class_text(request_label_set(source(), "", "zero-shot"), WithoutText())


def test_prompts_choose_zero_shot_logits(tmp_path):
    (tmp_path / "p.txt").write_text("a photo of {}\n")
    prompts = read_prompts(tmp_path / "p.txt")
    assert chosen_head(None, None) is None and chosen_head("fitted", None) == "fitted"
    with pytest.raises(InputError, match="the teacher onnx has no text tower, which zero-shot logits need"):
        possible_head(chosen_head(None, prompts), "onnx", source())
    with pytest.raises(InputError, match="the teacher fake has no text tower, which zero-shot logits need"):
        with_class_text(request_label_set(source(), "", None, prompts=prompts), WithoutText())


def test_a_teacher_that_is_known_to_have_no_text_tower_is_not_loaded_to_find_out():
    assert possible_head(None, "timm:resnet18", source()) == "fitted" == possible_head("fitted", "onnx", source())
    assert possible_head(None, "ViT-B-32", source()) is None
    with pytest.raises(InputError, match="the teacher onnx has no text tower, which zero-shot logits need"):
        possible_head("zero-shot", "onnx", source())
