"""Means of the embeddings of class prompts, in batches of bounded size."""

import numpy as np
import torch

from embedonce.models.teachers import texts
from embedonce.models.teachers.texts import mean_directions

VECTORS = {text: torch.nn.functional.normalize(torch.randn(8, generator=torch.Generator().manual_seed(i)), dim=0)
           for i, text in enumerate("abcdefghij")}  # fmt: skip
PROMPTS = [["a", "b", "c"], ["c"], ["d", "a", "e", "f"], ["g", "h", "i", "j", "a"]]


def test_the_direction_of_a_class_is_that_of_the_mean_of_its_unit_vectors(monkeypatch):
    calls = []

    def embed(batch):
        calls.append(list(batch))
        return torch.stack([VECTORS[text] for text in batch])

    expected = np.stack([np.mean([VECTORS[text].numpy() for text in own], 0) for own in PROMPTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for size in (1, 4, 256):
        monkeypatch.setattr(texts, "BATCH", size)
        calls.clear()
        found = mean_directions(PROMPTS, embed)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == np.float32 and max(map(len, calls)) == min(size, 10)
        assert sorted(text for batch in calls for text in batch) == list("abcdefghij")  # each once
