"""The text term: its formula, what a batch holds for it, and that students learn to be found by texts."""

import dataclasses

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.losses.batch import Targets
from embedonce.models.losses.registry import loss_settings
from embedonce.models.losses.text import TEMPERATURE, text_loss
from embedonce.models.losses.total_loss import distillation_loss
from embedonce.models.student_output import StudentOutput
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.recipe import datasets, loss_settings_for
from tests.support import small_students
from tests.support.small_students import are_equal, best_of, settings, weights_of
from tests.support.tiny_cache import make_tiny_cache
from tests.support.tiny_texts import text_of, unrelated_vector_of, vector_of, write_texts


@pytest.fixture
def cache(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 9)
    write_texts(root)
    return root


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def loss_of(clips: torch.Tensor, texts: torch.Tensor, numbers: list[int]) -> float:
    output = StudentOutput(torch.empty(0), clips, torch.empty(0), torch.empty(0))
    nothing = torch.empty(0)
    targets = Targets(nothing, None, torch.full((len(clips),), -1), nothing, None, texts, torch.tensor(numbers))
    return text_loss(output, targets, loss_settings())[0].item()


def by_hand(clips: np.ndarray, texts: np.ndarray, numbers: list[int]) -> float:
    """Σ over clips with a text and over different texts, written as in the docstrings, not as in the code."""
    rows = [i for i, number in enumerate(numbers) if number >= 0]
    different = sorted({numbers[i] for i in rows})
    scores = np.array([[clips[i] @ texts[numbers.index(t)] / TEMPERATURE for t in different] for i in rows])
    to_text = [
        np.log(np.exp(row).sum()) - row[different.index(numbers[i])] for i, row in zip(rows, scores, strict=True)
    ]
    to_clip = []
    for column, text in enumerate(different):
        own = [place for place, i in enumerate(rows) if numbers[i] == text]
        to_clip.append(np.log(np.exp(scores[:, column]).sum()) - scores[own, column].mean())
    return (np.mean(to_text) + np.mean(to_clip)) / 2 * len(rows) / len(clips)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [4, 4, 2, 2], [0, -1, 7, 0], [-1, -1, 3, -1], [5, 5, 5, 5]])
def test_the_loss_is_that_of_the_formula(numbers):
    clips, vectors = unit(4, 8), unit(8, 8, seed=1)
    texts = torch.stack([vectors[number] if number >= 0 else torch.zeros(8) for number in numbers])
    expected = by_hand(clips.numpy().astype(float), texts.numpy().astype(float), numbers)
    assert loss_of(clips, texts, numbers) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_clips_with_the_same_text_are_no_wrong_answers():
    """Of clips that are exactly at their texts; as different texts, equal vectors are half wrong in both directions."""
    vectors = torch.eye(4)[:2]
    texts = vectors[[0, 0, 1]]
    same, other = loss_of(texts, texts, [0, 0, 1]), loss_of(texts, texts, [0, 2, 1])
    assert same == pytest.approx(np.log(2) / 4, abs=1e-4)  # a text of two clips is shared between them
    assert other == pytest.approx(2 * np.log(2) / 3, abs=1e-4)


def test_batches_without_texts_have_no_loss():
    assert loss_of(unit(3, 8), torch.zeros(3, 8), [-1, -1, -1]) == 0.0


def test_a_batch_that_lacks_texts_is_refused():
    output = StudentOutput(unit(2, 1, 8), unit(2, 8), torch.zeros(2, 1, 0), torch.zeros(2, 0))
    targets = Targets(unit(2, 1, 8), None, torch.full((2,), -1), torch.ones(2, 1, dtype=torch.bool))
    only = loss_settings(alpha=0.0, beta=0.0, gamma=0.0, text_weight=1.0)
    with pytest.raises(ValueError, match=r"the text term \(--text-weight\) needs vectors of texts"):
        distillation_loss(output, targets, only)
    texts = dataclasses.replace(targets, texts=unit(2, 8), text_numbers=torch.tensor([0, 1]))
    assert distillation_loss(output, texts, only)["total"] > 0  # of a student without classes


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.integration)])
def test_a_batch_has_the_vector_of_each_clips_own_text(cache, tmp_path, num_workers):
    reader = open_reader(cache)
    train_set, _ = datasets(settings(cache, tmp_path, text_weight=1.0), reader, reader.label_set("tiny"))
    (items,) = batches(train_set, [list(range(len(train_set)))], num_workers)
    batch = ClipBatch.from_items(items)
    texts = [text_of(clip) for clip in train_set.clips]
    assert "" in texts and len(set(texts)) > 3
    for i, text in enumerate(texts):
        expected = vector_of(text) if text else np.zeros(16)
        np.testing.assert_allclose(batch.texts[i], expected, atol=1e-3)
        assert [int(number) == int(batch.text_numbers[i]) for number in batch.text_numbers] == [
            t == text for t in texts
        ]
    assert (batch.text_numbers < 0).tolist() == [not text for text in texts]
    without, _ = datasets(settings(cache, tmp_path), reader, reader.label_set("tiny"))
    assert ClipBatch.from_items(next(batches(without, [[0]], 0))).texts is None


@pytest.mark.integration
def test_without_a_weight_a_run_is_as_if_there_were_no_texts(cache, tmp_path, monkeypatch):
    small_students.use(monkeypatch)
    plain = make_tiny_cache(tmp_path / "plain", 9)
    for root, name in ((cache, "with"), (plain, "without")):
        training.train(settings(root, tmp_path / name, epochs=1))
    assert are_equal(weights_of(tmp_path / "with"), weights_of(tmp_path / "without"))


def test_texts_that_lack_are_one_sentence(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 9)
    with pytest.raises(
        InputError,
        match=r"^label set 'tiny' has no text vectors of training clips for the text term; make them with relabel "
        r"--embed-texts, or train without it: --text-weight 0$",
    ):
        training.train(settings(root, tmp_path / "out", text_weight=1.0))
    assert not (tmp_path / "out").exists()
    write_texts(root, text_of=lambda clip: text_of(clip) if clip.split == "val" else "")
    with pytest.raises(InputError, match="no text vectors of training clips"):
        training.train(settings(root, tmp_path / "out", text_weight=1.0))


def test_texts_of_selection_clips_alone_are_one_sentence(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 30)
    reader = open_reader(root)
    _, selection = datasets(settings(root, tmp_path), reader, reader.label_set("tiny"))
    kept = {clip.video_uid for clip in selection.clips}
    write_texts(root, text_of=lambda clip: text_of(clip) if clip.video_uid in kept else "")
    with pytest.raises(InputError, match=r"none of the \d+ clips that are left for training has a text"):
        training.train(settings(root, tmp_path / "out", text_weight=1.0))


def test_texts_identify_a_run_only_if_it_uses_them(cache, tmp_path):
    def prints() -> list[str]:
        reader = open_reader(cache)
        found = (
            datasets(settings(cache, tmp_path, text_weight=w), reader, reader.label_set("tiny")) for w in (0.0, 1.0)
        )
        return [fingerprint(*data) for data in found]

    before = prints()
    write_texts(cache, text_of=lambda clip: text_of(clip).replace("number", "no."))
    after = prints()
    assert before[0] == after[0] and before[1] != after[1] and before[0] != before[1]


def test_the_weight_reaches_the_loss(cache, tmp_path):
    reader = open_reader(cache)
    config = settings(cache, tmp_path, text_weight=0.25)
    assert loss_settings_for(config, reader.label_set("tiny"), reader).weights["text"] == 0.25


def retrieval_of(cache, folder):
    config = EvaluateConfig(cache, folder / "best_student.pt", folder, num_workers=0, device="cpu")
    return evaluating.evaluate(config).retrieval


@pytest.mark.integration
def test_the_text_term_raises_retrieval_of_held_out_clips(tmp_path, monkeypatch):
    """Of texts whose vectors are nowhere near the teacher's frames: distillation alone does not find them."""
    small_students.use(monkeypatch)
    root = make_tiny_cache(tmp_path / "cache", 24)
    write_texts(root, embed=unrelated_vector_of, text_of=lambda clip: text_of(clip).split(" ")[0])
    found = {}
    for weight in (0.0, 1.0):
        folder = tmp_path / str(weight)
        training.train(settings(root, folder, epochs=30, lr=0.01, batch_size=16, text_weight=weight))
        found[weight] = retrieval_of(root, folder)
    for direction in ("text_to_video", "video_to_text"):
        without, with_term = (getattr(found[weight], direction) for weight in (0.0, 1.0))
        assert with_term.student.recall_at_1 > 0.8 and without.student.recall_at_1 < 0.6
        assert with_term.student.mean_average_precision > without.student.mean_average_precision + 0.2
        assert with_term.teacher == without.teacher  # texts and clips are the same
    log = (tmp_path / "1.0" / "train_log.csv").read_text().splitlines()
    assert "text" in log[0].split(",") and "gradient_share_text" in log[0].split(",")
    assert best_of(tmp_path / "1.0") is not None
