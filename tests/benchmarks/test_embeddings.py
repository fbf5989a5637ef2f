"""The comparison of two tools' embeddings finds other frames and other vectors."""

import numpy as np

from benchmarks.embeddings import Embedded, agreement, of_peer

OURS = {"a": Embedded(np.array([0.0, 1.0, 2.0]), np.eye(3, dtype=np.float32))}


def test_the_same_embeddings_agree_whatever_their_order_and_length(tmp_path):
    np.savez(tmp_path / "a.npz", seconds=[2.0, 0.0, 1.001], embeddings=5 * np.eye(3)[[2, 0, 1]])
    found = agreement(OURS, of_peer(tmp_path))
    assert (found.frames, found.same) == (3, 1.0) and np.allclose([found.worst, found.median], 1)


def test_frames_of_other_times_are_counted_as_others_and_not_compared(tmp_path):
    np.savez(tmp_path / "a.npz", seconds=[0.0, 1.04, 1.96, 7.0], embeddings=np.eye(3)[[0, 2, 2, 2]])
    found = agreement(OURS, of_peer(tmp_path))
    assert found.frames == 4 and np.isclose(found.same, 1 / 3) and found.worst == 1


def test_another_embedding_at_the_same_time_lowers_the_worst_cosine(tmp_path):
    np.savez(tmp_path / "a.npz", seconds=[0.0, 1.0, 2.0], embeddings=np.eye(3)[[0, 1, 1]])
    found = agreement(OURS, of_peer(tmp_path))
    assert (found.same, found.worst, found.median) == (1.0, 0.0, 1.0)


def test_a_tool_that_saved_nothing_agrees_with_nothing(tmp_path):
    found = agreement(OURS, of_peer(tmp_path))
    assert (found.frames, found.same) == (0, 0.0) and np.isnan(found.worst)
