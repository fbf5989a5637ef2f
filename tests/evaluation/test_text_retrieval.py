"""Retrieval of held-out clips by their texts: which clips count, for which model, and where the figures are shown."""

import json
from dataclasses import replace

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.evaluation.text_retrieval import ClipsWithTexts, figures, text_retrieval
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_schema import SCHEMA, EvaluationResults
from embedonce.pipeline.reporting import console
from embedonce.pipeline.reporting.html import comparison as page
from embedonce.pipeline.training import trainer as training
from tests.support import small_students
from tests.support.report_data import predictions_for, results_for
from tests.support.small_students import settings
from tests.support.tiny_cache import make_tiny_cache
from tests.support.tiny_texts import text_of, vector_of, write_texts


@pytest.fixture
def cache(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 24)
    write_texts(root)
    return root


def predictions_of(teacher: np.ndarray, student: np.ndarray) -> Predictions:
    nothing = np.zeros((len(teacher), 0), np.float32)
    return Predictions(nothing, student, nothing, teacher, np.full(len(teacher), -1))


def random_directions(count: int, dim: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(5).standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_figures_are_of_the_clips_with_texts_and_of_the_right_model(cache):
    reader = open_reader(cache)
    labels = reader.label_set("tiny")
    clips = [clip for clip in labels.clips if clip.split == "val"]
    with_text = [clip for clip in clips if text_of(clip)]
    own = np.stack([vector_of(text_of(c)) if text_of(c) else vector_of("red number 9") for c in clips]).astype("f4")
    found = text_retrieval(reader, labels, clips, predictions_of(own, random_directions(len(clips))), seed=0)
    assert (found.num_clips, found.num_texts) == (len(with_text), len(set(map(text_of, with_text))))
    assert found.num_clips < len(clips)
    for direction in (found.text_to_video, found.video_to_text):
        assert direction.teacher.recall_at_1 == direction.teacher.mean_average_precision == 1.0
        assert direction.teacher.median_rank == 1.0
        assert direction.student.recall_at_1 < 0.6 and direction.recall_at_1_drop_points > 40
        low, high = direction.student.recall_at_1_interval
        assert low < direction.student.recall_at_1 < high
        assert direction.recall_at_1_drop_interval[0] < direction.recall_at_1_drop_points
    assert (found.text_to_video.candidates, found.video_to_text.candidates) == (len(with_text), found.num_texts)
    assert found.video_to_text.chance_at_5 == 5 / found.num_texts
    assert found.inter_video.teacher == 1.0 and found.inter_video.student < 0.6 and found.inter_video.chance == 0.2
    assert found.inter_video.questions == len(with_text) and found.intra_video is None  # three clips per recording


def test_without_texts_there_are_no_figures(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "cache", 6))
    labels = reader.label_set("tiny")
    clips = list(labels.clips)
    predictions = predictions_of(random_directions(len(clips)), random_directions(len(clips)))
    assert text_retrieval(reader, labels, clips, predictions, 0) is None
    write_texts(tmp_path / "cache")
    assert text_retrieval(reader, labels, clips[:1], predictions_of(*[random_directions(1)] * 2), 0) is None
    assert text_retrieval(reader, labels, clips, predictions, 0).num_clips > 6


def test_a_text_is_a_query_for_each_of_its_clips():
    texts = np.eye(3)
    text_of_clip = np.array([0, 0, 0, 1, 2])
    clips = np.stack([texts[0], texts[0], texts[0], texts[2], texts[1]])  # texts 1 and 2 find the other's clip
    found = figures(ClipsWithTexts(texts, text_of_clip, np.array(list("abcde")), clips, clips), 0)
    assert found.text_to_video.teacher.recall_at_1 == 3 / 5 and found.text_to_video.teacher.median_rank == 1.0
    assert found.video_to_text.teacher.recall_at_1 == 3 / 5
    assert found.intra_video is None and found.inter_video.questions == 2  # of three texts, one has too few others


def test_questions_of_one_recording_need_five_texts_in_it():
    texts = np.eye(6)
    recordings, text_of_clip = np.repeat(["a", "b"], 6), np.tile(np.arange(6), 2)
    clips = texts[text_of_clip]
    found = figures(ClipsWithTexts(texts, text_of_clip, recordings, clips, -clips), 0)
    assert found.intra_video.questions == 12 and found.inter_video is None
    assert found.intra_video.teacher == 1.0 and found.intra_video.student == 0.0
    assert found.intra_video.drop_points == 100.0


@pytest.mark.integration
def test_an_evaluation_has_the_figures_in_its_results_its_table_and_its_report(cache, tmp_path, monkeypatch):
    small_students.use(monkeypatch)
    training.train(settings(cache, tmp_path / "out", epochs=1))
    config = EvaluateConfig(cache, tmp_path / "out" / "best_student.pt", tmp_path / "out", num_workers=0, device="cpu")
    results = evaluating.evaluate(config)
    stored = json.loads((tmp_path / "out" / "evaluation_results.json").read_text())
    assert find_mismatch(stored, SCHEMA) is None and EvaluationResults.from_dict(stored) == results
    predictions = np.load(tmp_path / "out" / "predictions.npz")
    reader = open_reader(cache)
    labels = reader.label_set("tiny")
    clips = [clip for clip in labels.clips if clip.split == "val"]
    arrays = [predictions[name].astype(np.float32) for name in ("teacher_embeddings", "embeddings")]
    again = text_retrieval(reader, labels, clips, predictions_of(*arrays), config.seed)
    assert again.text_to_video.student.recall_at_1 == pytest.approx(results.retrieval.text_to_video.student.recall_at_1)
    assert results.retrieval.text_to_video.teacher.recall_at_1 > 0.3  # chance is about 0.17
    table, report = console.comparison_table(results), (tmp_path / "out" / "report.html").read_text()
    for text in (table, report):
        assert "text to video R@1" in text and "video to text median rank" in text
        assert "multiple choice, inter-video" in text and "different texts; chance: text to video R@1" in text


def test_the_table_gives_each_model_its_own_column_and_says_what_chance_is():
    results = EvaluationResults.from_dict(results_for(predictions_for(np.array([0, 1, 2]), 3), ("a", "b", "c")))
    assert "R@1" not in console.comparison_table(results) and "R@1" not in page.comparison_table(results)
    texts = np.eye(6)
    text_of_clip = np.tile(np.arange(6), 2)
    found = ClipsWithTexts(texts, text_of_clip, np.repeat(["a", "b"], 6), texts[text_of_clip], -texts[text_of_clip])
    results = replace(results, retrieval=figures(found, 0))
    lines = {line.split("  ")[0]: line for line in console.comparison_table(results).splitlines()}
    assert lines["video to text R@1"].split("  ")[1:] and "100.0 points lost" in lines["video to text R@1"]
    assert lines["video to text R@1"].index("100.0 %") < lines["video to text R@1"].index(" 0.0 %")
    assert lines["video to text median rank"].split()[-2:] == ["1", "6"]
    chance = "retrieval: 12 clips with 6 different texts; chance: text to video R@1 16.7 %, R@5 "
    assert any(line.startswith(chance) and line.endswith("multiple choice 20 %") for line in lines)
    assert "Retrieval: 12 clips with 6 different texts" in page.comparison_table(results)
