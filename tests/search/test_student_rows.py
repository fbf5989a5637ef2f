"""Searching the embeddings of a student: those that it computes from the stored frames, kept by its checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint as checkpoints
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.search import student_rows
from embedonce.pipeline.search.search import search
from tests.search.test_search import text_vector
from tests.support.fake_teacher import fake_identity

pytestmark = pytest.mark.integration


def save_student(path: Path, cache: Path, seed: int = 0, change=lambda student: None, **teacher) -> Path:
    torch.manual_seed(seed)
    labels = open_reader(cache).label_set()
    identity = fake_identity(**teacher)
    student = build_student(student_config("tiny", identity.embed_dim, len(labels.classes), 128), False).eval()
    change(student)
    checkpoints.save(path, checkpoints.new_checkpoint(student, labels, identity, 4))
    return path


def expected_rows(path: Path, cache: Path) -> dict[tuple[str, float], np.ndarray]:
    """(video, time) -> (D,) unit vector, one frame at a time."""
    student, _ = checkpoints.load_student(path)
    reader, rows = open_reader(cache), {}
    for unit, record in reader.records.items():
        (segment,) = record.segments
        for row, t_sec in enumerate(segment.t_sec.tolist()):
            image = canonical_frame.load_view(reader.frames(unit).jpeg(row), segment.views[0], 128)
            with torch.inference_mode():
                vector = student.encode_frames(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])[0].numpy()
            rows[segment.video_uid, t_sec] = vector / np.linalg.norm(vector)
    return rows


def test_a_text_is_searched_in_the_embeddings_of_the_student(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(student_rows, "BATCH_SIZE", 4)
    path = save_student(tmp_path / "student.pt", tiny)
    found = search(tiny, text="cup", student=path, top=500, min_gap=0)
    rows, query = expected_rows(path, tiny), text_vector("cup")
    assert len(found) == 180
    for moment in found:
        assert moment.score == pytest.approx(float(rows[moment.video_uid, moment.t_sec] @ query), abs=2e-3)
    assert found != search(tiny, text="cup", top=500, min_gap=0)


def test_frames_are_embedded_once_per_checkpoint(tiny, tmp_path, monkeypatch):
    embedded = []
    embedder = student_rows.StudentEmbedder
    real = embedder.unit
    monkeypatch.setattr(embedder, "unit", lambda self, unit: embedded.append(unit) or real(self, unit))
    path = save_student(tmp_path / "student.pt", tiny)
    first = search(tiny, text="cup", student=path)
    assert search(tiny, text="cup", student=str(path)) == first and len(embedded) == 12
    save_student(path, tiny, seed=1)
    assert search(tiny, text="cup", student=path) != first and len(embedded) == 24


def test_an_image_and_a_moment_are_embedded_by_the_student(tiny, tmp_path, loader):
    path = save_student(tmp_path / "student.pt", tiny)
    rows, reader = expected_rows(path, tiny), open_reader(tiny)
    frame = canonical_frame.decode_jpeg(reader.frames("000004").jpeg(6)).resize((256, 256))
    frame.save(tmp_path / "frame.png")
    best = search(tiny, image=tmp_path / "frame.png", student=path, top=500, min_gap=0)
    assert len(best) == 180 and best[0].score > best[-1].score
    moments = search(tiny, video="v4", time=3.0, student=path, top=500, min_gap=0)
    assert moments[0].score == pytest.approx(
        max(rows[key] @ rows["v4", 3.0] for key in rows if key != ("v4", 3.0)), abs=2e-3
    )
    assert loader.loaded == []


def test_a_student_of_another_teacher_is_refused(tiny, tmp_path):
    other = save_student(tmp_path / "weights.pt", tiny, weights_sha256="3" * 64)
    with pytest.raises(CheckpointError, match="trained from the teacher fake with other weights than the cache's"):
        search(tiny, text="cup", student=other)
    other = save_student(tmp_path / "width.pt", tiny, embed_dim=8)
    with pytest.raises(CheckpointError, match="has 8-d embeddings, but the cache's teacher has 16-d ones"):
        search(tiny, text="cup", student=other)
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"text.pt"):
        search(tiny, text="cup", student=tmp_path / "text.pt")


def test_a_student_that_diverged_is_named(tiny, tmp_path):
    def spoil(student):
        next(student.projection.parameters()).data.fill_(float("nan"))

    path = save_student(tmp_path / "student.pt", tiny, change=spoil)
    with pytest.raises(CheckpointError, match="model outputs are NaN or infinite, because training diverged"):
        search(tiny, text="cup", student=path)
