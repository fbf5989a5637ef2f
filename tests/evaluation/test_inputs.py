"""Whether an evaluation is still the one of its student, clips and settings."""

import shutil
from dataclasses import replace

import pytest

from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.inputs import why_evaluate
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import train
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration


def test_an_evaluation_is_known_by_its_student_clips_and_settings(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 6)
    small = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 2, "num_workers": 0}
    train(TrainConfig(cache, tmp_path / "a", epochs=1, **small))
    train(TrainConfig(cache, tmp_path / "b", epochs=2, **small))
    config = EvaluateConfig(cache, tmp_path / "a" / "best_student.pt", tmp_path / "a", num_workers=0)
    assert why_evaluate(config) == "there is no evaluation yet"
    evaluate(config)
    assert why_evaluate(config) is None
    assert why_evaluate(replace(config, split="train", seed=3)) == "--split, --seed changed"
    assert why_evaluate(replace(config, num_workers=1)) is None
    shutil.copy(tmp_path / "a" / "best_student.pt", tmp_path / "kept.pt")
    shutil.copy(tmp_path / "b" / "best_student.pt", tmp_path / "a" / "best_student.pt")
    assert why_evaluate(config) == "the last evaluation is of another student"
    shutil.copy(tmp_path / "kept.pt", tmp_path / "a" / "best_student.pt")
    reader = open_reader(cache)
    clips = [replace(clip, label=(clip.label + 1) % 3) for clip in reader.label_set().clips]
    writer = open_writer(cache, reader.identity)
    writer.revise_clips("tiny", [clips])
    writer.close()
    assert why_evaluate(config) == "the clips or their labels have changed"
    results = tmp_path / "a" / "evaluation_results.json"
    results.write_text(results.read_text()[:-20])
    assert why_evaluate(config) == "the last evaluation cannot be read"
